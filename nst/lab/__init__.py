"""Running the notebooks: TensorFlow 1's meaning, training, diagnosis of a failed cell."""
