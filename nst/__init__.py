"""What works behind the lab, one craft a file; none knows a file above it.

__main__     the command: python -m nst run | gallery | grade | weights | kernel | exercises
gallery      many pairs, here or on a Dask cluster
grading      grade notebooks: the command
examiner     grade one submission: have it tried in a sandbox, judge what came out
reports      what a teacher reads: tables, a page, a spreadsheet, feedback
sandbox      a room for one submission: a process with limits, and bubblewrap
rehearsal    a right training step to compare with
judging      judge what a function did; formulas: what it should give; mistakes: what students give
examining    what runs in a process of the submission's own; trying: a function on given inputs
hints        what to do about an error
submissions  find and read what was handed in; assignment: what it asks for
frames       messages between processes that need not trust each other
exercises    make the edition with blanks
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
config       CONFIG, and where things are
"""

from nst.tf1 import load_ipython_extension

__all__ = ["load_ipython_extension"]
