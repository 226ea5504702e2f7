"""What every part uses: settings, files, images, memory, the command line, TensorFlow's import."""
