"""What the assignment asks for: its graded functions, and the numbers that it publishes."""

PARAMETERS = {
    "compute_content_cost": "a_C, a_G",
    "gram_matrix": "A",
    "compute_layer_style_cost": "a_S, a_G",
    "compute_style_cost": "model, STYLE_LAYERS",
    "total_cost": "J_content, J_style, alpha=10, beta=40",
    "model_nn": "sess, input_image, num_iterations=200",
}
FUNCTIONS = list(PARAMETERS)
TRAINING = "training, one step"  # what is graded beside them
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
PROVIDED = {"sess", "model", "train_step", "J", "J_content", "J_style"}  # by the public tests
RATE, STEPS = 0.05, 3  # of the descent on which model_nn is tried
