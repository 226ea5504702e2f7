"""The assignment: its graded functions, and the numbers that it publishes."""

PARAMETERS = {
    "compute_content_cost": "a_C, a_G",
    "gram_matrix": "A",
    "compute_layer_style_cost": "a_S, a_G",
    "compute_style_cost": "model, STYLE_LAYERS",
    "total_cost": "J_content, J_style, alpha=10, beta=40",
    "model_nn": "sess, input_image, num_iterations=200",
}
FUNCTIONS = list(PARAMETERS)
HELPERS = {  # function: the graded function that it calls, for which its trial has a stand-in
    "compute_layer_style_cost": "gram_matrix",
    "compute_style_cost": "compute_layer_style_cost",
}
TRAINING = "training, one step"  # graded in addition to the functions
COSTS = ("J", "J_content", "J_style")  # of the training
PUBLISHED = {
    "compute_content_cost": 6.76559,
    "gram_matrix": [
        [6.42230511, -4.42912197, -2.09668207],
        [-4.42912197, 19.46583748, 19.56387138],
        [-2.09668207, 19.56387138, 20.6864624],
    ],
    "compute_layer_style_cost": 9.19028,
    "total_cost": 35.34667875478276,
}
VGG_LAYERS = tuple(
    [f"conv{b}_{i}" for b in range(1, 6) for i in range(1, 3 if b < 3 else 5)]
    + [f"avgpool{b}" for b in range(1, 6)]
)
STEPS = 3  # of the descent on which model_nn is tried
LAYER_COUNT = 5  # of the model on which compute_style_cost is tried
