"""The network: its weights, its graph, and a tiny VGG for tests and grading."""
