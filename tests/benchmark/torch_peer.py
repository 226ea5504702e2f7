"""PyTorch doing the lab's work: the same layers, sizes, costs and Adam, on the GPU where one is.

Knows nothing of TensorFlow; it works on the arrays that `export_problem` wrote.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

BLOCKS = (2, 2, 4, 4, 1)  # up to conv5_1; nothing looks deeper
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYER = "conv4_2"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Torch:
    """Neural style transfer at its best in PyTorch: channels last, frozen weights, Adam."""

    def __init__(self, variant, height, width):
        # cuDNN by itself computes float32 convolutions in TF32, and tries no kernels out
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = "TF32" in variant
        torch.backends.cudnn.benchmark = True
        with np.load(os.environ["BENCHMARK_PROBLEM"]) as file:
            problem = {name: torch.from_numpy(array).to(DEVICE) for name, array in file.items()}
        self.half = "bfloat16" in variant
        self.weights = {
            name: problem[name].to(memory_format=torch.channels_last)
            for name in problem
            if name.startswith("conv")
        }
        self.biases = {name[5:]: problem[name] for name in problem if name.startswith("bias_")}
        images = {
            name: problem[name].to(memory_format=torch.channels_last)
            for name in ("content", "style", "start")
        }
        with torch.no_grad():
            self.a_C = self.activations(images["content"])[CONTENT_LAYER].float()
            style = self.activations(images["style"])
            self.GS = [gram(style[name]) for name in STYLE_LAYERS]
        self.image = images["start"].clone().requires_grad_()
        self.adam = torch.optim.Adam([self.image], lr=2.0, eps=1e-8, fused=DEVICE == "cuda")
        self.total = self.costs_of
        if "compiled" in variant:  # on a GPU: as one CUDA graph, which saves the launches
            mode = "reduce-overhead" if DEVICE == "cuda" else "default"
            self.total = torch.compile(self.costs_of, mode=mode)

    def activations(self, x):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.half):
            layers = {}
            for block, count in enumerate(BLOCKS, 1):
                for i in range(1, count + 1):
                    name = f"conv{block}_{i}"
                    x = F.relu(F.conv2d(x, self.weights[name], self.biases[name], padding=1))
                    layers[name] = x
                # SAME padding, left out of the mean, as TensorFlow's
                x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        return layers

    def costs_of(self, image):
        layers = self.activations(image)
        a_G = layers[CONTENT_LAYER].float()
        J_content = torch.sum((a_G - self.a_C) ** 2) / (4 * a_G.numel())
        J_style = 0
        for name, GS in zip(STYLE_LAYERS, self.GS, strict=True):
            _, n_C, n_H, n_W = layers[name].shape
            distance = torch.sum((gram(layers[name]) - GS) ** 2)
            J_style = J_style + 0.2 * distance / (4 * n_C**2 * (n_H * n_W) ** 2)
        return 10 * J_content + 40 * J_style, J_content, J_style

    def step(self):
        self.adam.zero_grad(set_to_none=True)
        self.total(self.image)[0].backward()
        self.adam.step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def costs(self):
        with torch.no_grad():
            return [cost.item() for cost in self.costs_of(self.image)]


def gram(a):
    """Gram matrix of activations (1, n_C, n_H, n_W), in float32: (n_C, n_C)."""
    A = a.float().permute(0, 2, 3, 1).reshape(-1, a.shape[1])  # channels last: no copy
    return A.T @ A
