"""A notebook in the form of 2018 runs unedited on today's TensorFlow, SciPy and NumPy.

The notebook and the helper module below make the calls that the course's make, in our own code.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from nst.lab import runner, tf1
from tests.conftest import ROOT

PLAIN_ENV = {**os.environ, "PYTHONPATH": str(ROOT)}

COURSE_HELPER = """
import os
import sys
import numpy as np
import scipy.io
import scipy.misc
import tensorflow as tf

class CONFIG:
    IMAGE_WIDTH = 400
    IMAGE_HEIGHT = 300
    COLOR_CHANNELS = 3
    MEANS = np.array([123.68, 116.779, 103.939]).reshape((1, 1, 1, 3))

def load_vgg_model(path):
    vgg = scipy.io.loadmat(path)
    vgg_layers = vgg["layers"]

    def _weights(layer, expected_layer_name):
        wb = vgg_layers[0][layer][0][0][2]
        assert vgg_layers[0][layer][0][0][0][0] == expected_layer_name
        return wb[0][0], wb[0][1]

    def _relu(conv2d_layer):
        return tf.nn.relu(conv2d_layer)

    def _conv2d(prev_layer, layer, layer_name):
        W, b = _weights(layer, layer_name)
        W = tf.constant(W)
        b = tf.constant(np.reshape(b, (b.size)))
        return tf.nn.conv2d(prev_layer, filter=W, strides=[1, 1, 1, 1], padding="SAME") + b

    def _avgpool(prev):
        return tf.nn.avg_pool(prev, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")

    shape = (1, CONFIG.IMAGE_HEIGHT, CONFIG.IMAGE_WIDTH, CONFIG.COLOR_CHANNELS)
    graph = {"input": tf.Variable(np.zeros(shape), dtype="float32")}
    last, layer = graph["input"], 0
    for block, convolutions in enumerate((2, 2, 4, 4, 4), 1):
        for i in range(1, convolutions + 1):
            name = "conv%d_%d" % (block, i)
            last = graph[name] = _relu(_conv2d(last, layer, name))
            layer += 2
        last = graph["avgpool%d" % block] = _avgpool(last)
        layer += 1
    return graph

def generate_noise_image(content_image, noise_ratio=0.6):
    noise_image = np.random.uniform(-20, 20, content_image.shape).astype("float32")
    return noise_image * noise_ratio + content_image * (1 - noise_ratio)

def reshape_and_normalize_image(image):
    image = np.reshape(image, ((1,) + image.shape))
    return image - CONFIG.MEANS

def save_image(path, image):
    image = np.clip((image + CONFIG.MEANS)[0], 0, 255).astype("uint8")
    scipy.misc.imsave(path, image)
"""

COURSE_CELLS = """
import os
import sys
import scipy.io
import scipy.misc
import matplotlib.pyplot as plt
from matplotlib.pyplot import imshow
from PIL import Image
from nst_utils import *
import numpy as np
import tensorflow as tf
get_ipython().magic("matplotlib inline")
# %%
%matplotlib inline
content_image = scipy.misc.imread("images/louvre.jpg")
imshow(content_image)
# %%
def compute_content_cost(a_C, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    a_C_unrolled = tf.transpose(tf.reshape(a_C, [n_H * n_W, n_C]))
    a_G_unrolled = tf.transpose(tf.reshape(a_G, [n_H * n_W, n_C]))
    return tf.reduce_sum(np.power(a_C_unrolled - a_G_unrolled, 2)) / (4 * n_H * n_W * n_C)

tf.reset_default_graph()
with tf.Session() as test:
    tf.set_random_seed(1)
    a_C = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    a_G = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    J_content = compute_content_cost(a_C, a_G)
    print("J_content = " + str(J_content.eval()))
# %%
def gram_matrix(A):
    return tf.matmul(A, tf.transpose(A))

tf.reset_default_graph()
with tf.Session() as test:
    tf.set_random_seed(1)
    A = tf.random_normal([3, 2*1], mean=1, stddev=4)
    GA = gram_matrix(A)
    print("GA = " + str(GA.eval()))
# %%
def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    GS = gram_matrix(tf.transpose(tf.reshape(a_S, [n_H * n_W, n_C])))
    GG = gram_matrix(tf.transpose(tf.reshape(a_G, [n_H * n_W, n_C])))
    return tf.reduce_sum(tf.square(tf.subtract(GS, GG))) / (4 * n_C**2 * (n_H * n_W)**2)

tf.reset_default_graph()
with tf.Session() as test:
    tf.set_random_seed(1)
    a_S = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    a_G = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    J_style_layer = compute_layer_style_cost(a_S, a_G)
    print("J_style_layer = " + str(J_style_layer.eval()))
# %%
def total_cost(J_content, J_style, alpha=10, beta=40):
    return alpha * J_content + beta * J_style

tf.reset_default_graph()
with tf.Session() as test:
    np.random.seed(3)
    J_content = np.random.randn()
    J_style = np.random.randn()
    J = total_cost(J_content, J_style)
    print("J = " + str(J))
# %%
tf.reset_default_graph()
sess = tf.InteractiveSession()
content_image = scipy.misc.imread("images/louvre.jpg")
content_image = reshape_and_normalize_image(content_image)
style_image = scipy.misc.imread("images/monet.jpg")
style_image = reshape_and_normalize_image(style_image)
generated_image = generate_noise_image(content_image)
model = load_vgg_model("pretrained-model/imagenet-vgg-verydeep-19.mat")
# %%
sess.run(model["input"].assign(content_image))
out = model["conv4_2"]
a_C = sess.run(out)
J_content = compute_content_cost(a_C, out)
sess.run(model["input"].assign(style_image))
J_style = 0
for layer_name in ["conv1_1", "conv5_1"]:
    out = model[layer_name]
    a_S = sess.run(out)
    J_style += 0.5 * compute_layer_style_cost(a_S, out)
J = total_cost(J_content, J_style, 10, 40)
train_step = tf.train.AdamOptimizer(2.0).minimize(J)
# %%
def model_nn(sess, input_image, num_iterations=2):
    sess.run(tf.global_variables_initializer())
    generated_image = sess.run(model["input"].assign(input_image))
    for i in range(num_iterations):
        _ = sess.run(train_step)
        generated_image = sess.run(model["input"])
        Jt, Jc, Js = sess.run([J, J_content, J_style])
        print("Iteration " + str(i) + " :")
        print("total cost = " + str(Jt))
        save_image("output/" + str(i) + ".png", generated_image)
    save_image("output/generated_image.jpg", generated_image)
    return generated_image

print(np.abs(model_nn(sess, generated_image) - generated_image).max() > 1.0)
"""

PUBLISHED_AS_TEXT = ["J_content = 6.76559", "J_style_layer = 9.19028", "J = 35.34667875478276"]
PUBLISHED_GRAM = [
    [6.42230511, -4.42912197, -2.09668207],
    [-4.42912197, 19.46583748, 19.56387138],
    [-2.09668207, 19.56387138, 20.6864624],
]


def notebook(*first_cells):
    """The course-style notebook, preceded by `first_cells`."""
    cells = [*first_cells, *COURSE_CELLS.strip().split("\n# %%\n")]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def run(nb, folder, env=None, **options):
    """Run `nb` in `folder` and return what its cells printed."""
    client = NotebookClient(nb, resources={"metadata": {"path": str(folder)}}, **options)
    client.execute(**({"env": env} if env else {}))
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.fixture
def course_folder(tmp_path, fake_weights):
    """A student's folder of 2018, without the helper module: pictures, weights, output."""
    for name in ("images", "pretrained-model", "output"):
        (tmp_path / name).mkdir()
    shutil.copy(fake_weights, tmp_path / "pretrained-model")
    for seed, name in enumerate(("louvre.jpg", "monet.jpg")):
        pixels = np.random.default_rng(seed).integers(0, 256, (300, 400, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    return tmp_path


def assert_ran_as_in_2018(printed, folder):
    lines = printed.splitlines()
    assert [line for line in lines if line.startswith("J")] == PUBLISHED_AS_TEXT
    gram = re.search(r"GA = \[\[  6\..*?\]\]", printed, re.DOTALL)  # two spaces: NumPy's old style
    numbers = np.array(re.findall(r"-?\d+\.\d+", gram[0]), float)
    # a product of matrices rounds as the processor does, so its last digits are not the course's
    np.testing.assert_allclose(numbers.reshape(3, 3), PUBLISHED_GRAM, rtol=1e-5)
    assert "Iteration 1 :" in lines
    assert lines[-1] == "True"  # the returned picture is the optimized one
    with Image.open(folder / "output" / "generated_image.jpg") as picture:
        assert picture.size == (400, 300)


def test_the_installed_kernel_runs_an_untouched_notebook_beside_its_own_helper(
    course_folder, tmp_path_factory, monkeypatch
):
    prefix = tmp_path_factory.mktemp("prefix")
    tf1.install_kernel(prefix)
    monkeypatch.setenv("JUPYTER_PATH", str(prefix / "share" / "jupyter"))
    (course_folder / "nst_utils.py").write_text(COURSE_HELPER + '\nprint("own helper")\n')

    nb = notebook()
    printed = run(nb, course_folder, kernel_name=tf1.KERNEL)

    assert_ran_as_in_2018(printed, course_folder)
    assert "own helper" in printed.splitlines()
    streams = {output.name for cell in nb.cells for output in cell.outputs if "name" in output}
    assert streams == {"stdout"}  # neither TensorFlow nor a deprecation speaks up


def test_load_ext_in_a_plain_kernel_runs_an_untouched_notebook_with_our_helper(course_folder):
    nb = notebook("%load_ext nst", "import nst_utils\nprint(nst_utils.__file__)")
    printed = run(nb, course_folder, PLAIN_ENV, kernel_name="python3")
    assert_ran_as_in_2018(printed, course_folder)
    assert str(ROOT / "nst_utils.py") in printed.splitlines()
    assert nb.cells[0].outputs == []  # loading TensorFlow is silent


def test_make_run_takes_an_untouched_notebook(course_folder, tmp_path_factory, capsys):
    path = course_folder / "kept_since_2018.ipynb"
    nbformat.write(notebook(), path)
    before = sorted(course_folder.rglob("*"))
    executed = tmp_path_factory.mktemp("made") / "executed"
    runner.run(path, executed, {})
    printed = capsys.readouterr().out
    (executed / "output").symlink_to(executed)  # where `assert_ran_as_in_2018` looks
    assert_ran_as_in_2018(printed, executed)
    assert (executed / path.name).exists()
    assert sorted(course_folder.rglob("*")) == before  # the run had a folder of its own


def test_only_a_notebook_for_tensorflow_1_itself_is_a_course_notebook():
    assert runner.is_course_notebook(notebook())
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert not runner.is_course_notebook(nbformat.read(path, as_version=4)), path


def python(code):
    """Run `code`, whose last line prints JSON, in a Python of its own."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=PLAIN_ENV)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_install_after_tensorflow_has_worked_and_without_scipy_misc():
    facts = python("""
import json, sys
import numpy as np
import tensorflow as tf

assert float(tf.constant(1.0) + 2.0) == 3.0  # TensorFlow 2 has run eagerly

class NoSciPyMisc:
    def find_spec(self, name, path=None, target=None):
        if name == "scipy.misc":
            raise ModuleNotFoundError("No module named 'scipy.misc'", name=name)

sys.meta_path.insert(0, NoSciPyMisc())
from nst.lab import tf1
tf1.install()
tf1.install()  # twice is once

tf.set_random_seed(1)
tensors = [tf.random_normal([1, 4, 4, 3], mean=1, stddev=4) for _ in range(2)]
unseeded = tf.Graph()
with unseeded.as_default():
    tf.random_normal([1], seed=5)
    tf.random_normal([1])
seeds = [[op.get_attr("seed2") for op in graph.get_operations()
          if op.type == "RandomStandardNormal"] for graph in (tf.get_default_graph(), unseeded)]

import scipy.misc
from scipy import misc
from scipy.misc import imread, imresize, imsave
import tensorflow.keras
from tensorflow.keras.applications import VGG19
import tensorflow.compat.v1 as v1

print(json.dumps({
    "seeds": seeds,
    "misc": [misc is scipy.misc, imread is misc.imread],
    "power": np.power(tensors[0], 2).op.type,
    "static dimension": type(tensors[0].shape[1]).__name__,
    "one TensorFlow": tf is sys.modules["tensorflow"] and v1.Session is tf.Session,
    "types": [np.zeros(1, np.int).dtype.kind, np.zeros(1, np.float).dtype.kind],
}))
""")
    assert facts == {
        "seeds": [[3, 9], [5, 0]],  # 0: no graph seed and no op seed stays random
        "misc": [True, True],
        "power": "Pow",
        "static dimension": "Dimension",
        "one TensorFlow": True,
        "types": ["i", "f"],
    }


@pytest.mark.parametrize("collects", [True, False])
def test_tensorflow_is_spared_the_garbage_collector(collects):
    facts = python(f"""
import gc, json
from nst.core.tensorflow import import_tensorflow

gc.enable() if {collects} else gc.disable()
import_tensorflow()
print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 100_000]))
""")
    assert facts == [collects, collects]


def test_an_old_script_finds_what_the_course_s_helper_imports():
    facts = python("""
import json
from nst.lab import tf1
tf1.install()
from nst_utils import *
names = [tf.Session, scipy.io.loadmat, scipy.misc.imread, Image.new, plt.imshow, imshow, np.zeros]
print(json.dumps([name.__name__ for name in names] + [os.sep, len(sys.argv)]))
""")
    assert facts == ["Session", "loadmat", "imread", "new", "imshow", "imshow", "zeros", os.sep, 1]


def test_old_names_of_libraries_are_there_again(tmp_path):
    facts = python(f"""
import json, os
os.chdir({str(tmp_path)!r})
from nst.lab import tf1
tf1.install()
import imageio
import numpy as np
from google.colab import drive, files
from PIL import Image
drive.mount("/content/drive")
imageio.imwrite("unit.png", np.array([[0.0, 0.5, 1.0]]))
imageio.imsave("range.png", np.array([[-1.0, 1.0, 3.0]]))
print(json.dumps({{
    "pictures": [np.asarray(Image.open(n + ".png")).tolist() for n in ("unit", "range")],
    "antialias": Image.ANTIALIAS == Image.LANCZOS,
    "uploaded": files.upload(),
}}))
""")
    pictures = [[[0, 128, 255]], [[0, 128, 255]]]
    assert facts == {"pictures": pictures, "antialias": True, "uploaded": {}}


def test_contrib_s_scipy_optimizer_and_layers_work_again():
    facts = python("""
import json
from nst.lab import tf1
tf1.install()
import numpy as np
import tensorflow as tf
from tensorflow.contrib.opt import ScipyOptimizerInterface
from tensorflow.contrib.layers import flatten

x = tf.Variable(np.full([1, 2, 3], 5.0, np.float32))
target = tf.constant(np.arange(6.0, dtype=np.float32).reshape(1, 2, 3))
loss, seen = tf.reduce_sum(tf.square(x - target)), []
optimizer = ScipyOptimizerInterface(loss, options={"maxiter": 20}, var_to_bounds={x: (0, 4)})
W = tf.contrib.layers.fully_connected(flatten(x), 3, activation_fn=None)
regularizer = tf.contrib.layers.l2_regularizer(0.5)(tf.constant([3.0, 4.0]))
initializer = tf.contrib.layers.xavier_initializer(seed=1)([100, 100])
try:
    tf.contrib.slim
except AttributeError as error:
    slim = str(error)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    operations = len(tf.get_default_graph().get_operations())
    optimizer.minimize(sess, fetches=[loss], loss_callback=seen.append)
    found = sess.run(x)
    print(json.dumps({
        "found": np.round(found, 3).ravel().tolist(),
        "falls": bool(seen[-1] < seen[0]),
        "small graph": len(tf.get_default_graph().get_operations()) == operations,
        "connected": W.shape.as_list(),
        "regularizer": float(sess.run(regularizer)),
        "largest": bool(abs(sess.run(initializer)).max() <= (6 / 200) ** 0.5),
        "slim": slim,
    }))
""")
    assert facts == {
        "found": [0, 1, 2, 3, 4, 4],  # the bound
        "falls": True,
        "small graph": True,
        "connected": [1, 3],
        "regularizer": 6.25,  # 0.5 * (9 + 16) / 2
        "largest": True,
        "slim": "tensorflow.contrib.slim ended with TensorFlow 1: install tf_slim and import it",
    }


@pytest.mark.parametrize(
    ("source", "of_2018"),
    [
        ("import tensorflow as tf\nsess = tf.Session()", True),
        ("import tensorflow as tf\ntf.compat.v1.disable_eager_execution()\ntf.Session()", True),
        ("from nst_utils import *\nimg = scipy.misc.imread('a.jpg')", True),
        ("import tensorflow as tf\nx = tf.placeholder(tf.float32)", True),
        ("import tensorflow.compat.v1 as tf\ntf.disable_v2_behavior()\ntf.Session()", False),
        ("from tensorflow.compat import v1 as tf\ntf.Session()", False),
        ("import tensorflow as tf\ntf.compat.v1.Session()", False),
        ("import tensorflow as tf\nprint(tf.__version__)", False),
    ],
)
def test_a_notebook_for_tensorflow_1_is_known_by_its_code(source, of_2018):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    assert runner.is_course_notebook(notebook) is of_2018
