"""The assignment: its graded functions, and the network that they work on."""

PARAMETERS = {
    "compute_content_cost": "a_C, a_G",
    "gram_matrix": "A",
    "compute_layer_style_cost": "a_S, a_G",
    "compute_style_cost": "model, STYLE_LAYERS",
    "total_cost": "J_content, J_style, alpha=10, beta=40",
    "model_nn": "sess, input_image, num_iterations=200",
}
FUNCTIONS = list(PARAMETERS)
TRAINING = "training, one step"  # graded in addition to the functions
ACTIVATIONS = ("compute_content_cost", "compute_layer_style_cost")  # take two, in either order
COSTS = ("J", "J_content", "J_style")  # of the training
VGG_LAYERS = tuple(
    [f"conv{b}_{i}" for b in range(1, 6) for i in range(1, 3 if b < 3 else 5)]
    + [f"avgpool{b}" for b in range(1, 6)]
)
STEPS = 3  # of the descent on which model_nn is tried
LAYER_COUNT = 5  # of the model on which compute_style_cost is tried
