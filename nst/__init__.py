"""What works behind the lab, one craft a file; none knows a file above it.

__main__     the command: python -m nst run | gallery | grade | weights | kernel | exercises
gallery      many pairs, here or on a Dask cluster
sheets       a contact sheet of them
grading      grade notebooks
examining    what of a submission runs, in a process of its own
exercises    make the edition with blanks
submissions  submissions as data: find them, read them
runner       run a notebook from a terminal
training     a run to watch, stop and continue
advice       begin a notebook; cells out of order: which to run first
notebook     notebooks as data: their cells, their functions
network      VGG as a graph
gradients    frozen weights, Gram matrices: what makes a step cheap
fetching     get the weight file
weights      the weight file: read, write, name
pictures     pictures in, out and shown
files        whole or not at all; one process a folder
tf1          TensorFlow 1's meaning; quiet imports
processor    what the processor has, and the kernels that are fast on it
config       CONFIG, and where things are
"""

from nst.tf1 import load_ipython_extension

__all__ = ["load_ipython_extension"]
