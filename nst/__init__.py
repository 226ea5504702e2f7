"""What works behind the lab, one craft a file; none knows a file above it.

__main__     the command: python -m nst lab | run | gallery | grade | weights | kernel | exercises
classroom    open the lab in JupyterLab
gallery      many pairs, here or on a Dask cluster
grading      grade notebooks; examining: what runs in a process of the submission's own
exercises    make the edition with blanks
runner       run a notebook from a terminal
training     a run to watch, stop and continue
advice       begin a notebook; where a cell fails: which one to go back to
origins      where a cell's names come from, and which blank is to blame
notebook     notebooks as data: their cells, their functions
blanks       what a student fills in
network      VGG as a graph
gradients    frozen weights, Gram matrices: what makes a step cheap
fetching     get the weight file
weights      the weight file: read, write, name
pictures     pictures in, out and shown
files        whole or not at all; one process a folder
tf1          TensorFlow 1's meaning; quiet imports
config       CONFIG, and where things are
"""

from nst.tf1 import load_ipython_extension

__all__ = ["load_ipython_extension"]
