"""What works behind the lab, one craft a file; none knows a file above it.

__main__     the command: python -m nst run | paint | gallery | grade | weights | kernel | exercises
gallery      many pairs, here or on a Dask cluster
grading      grade notebooks; examining: what runs in a process of the submission's own
exercises    make the edition with blanks
runner       run a notebook from a terminal
easel        paint from the terminal: progress, the picture in the making, Ctrl-C
painting     a picture soon: coarse to fine; costs: what it costs; descent: L-BFGS
training     a run to watch, stop and continue
advice       begin a notebook; cells out of order: which to run first
notebook     notebooks as data: their cells, their functions
network      VGG as a graph
gradients    frozen weights, Gram matrices: what makes a step cheap
fetching     get the weight file
weights      the weight file: read, write, name
recolouring  images from one size, and one set of colours, to another
pictures     pictures in, out and shown
files        whole or not at all; one process a folder
tf1          TensorFlow 1's meaning; quiet imports
config       CONFIG, and where things are
"""

from nst.tf1 import load_ipython_extension

__all__ = ["load_ipython_extension"]
