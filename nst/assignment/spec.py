"""The assignment: its graded functions, and the numbers that its editions print."""

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
COSTS = ("J", "J_content", "J_style")  # of the training
KNOWN_NUMBERS = {  # of the check cells, in all their editions
    6.76559: "the course's J_content",
    9.19028: "the course's J_style_layer",
    35.34668: "the course's J",
    7.0568767: "J_content in the TensorFlow 2 edition, whose seed draws other numbers",
    14.01649: "J_style_layer in the TensorFlow 2 edition, whose seed draws other numbers",
    7.641: "what TensorFlow 2 prints for J_content, whose seed draws other numbers",
    2.285: "what TensorFlow 2 prints for J_style_layer, whose seed draws other numbers",
}
VGG_LAYERS = tuple(
    [f"conv{b}_{i}" for b in range(1, 6) for i in range(1, 3 if b < 3 else 5)]
    + [f"avgpool{b}" for b in range(1, 6)]
)
STEPS = 3  # of the descent on which model_nn is tried
LAYER_COUNT = 5  # of the model on which compute_style_cost is tried
