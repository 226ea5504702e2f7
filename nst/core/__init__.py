"""Shared parts: settings, files, images, memory, command-line types, TensorFlow's import."""
