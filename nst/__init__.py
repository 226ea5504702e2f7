"""What works behind the lab, one craft a file; none knows a file above it.

__main__     the command: python -m nst lab | studio | run | paint | gallery | grade | weights | …
studio       open a page to paint on, in the browser
classroom    open the lab in JupyterLab
gallery      many pairs, here or on a Dask cluster
cluster      work for a Dask cluster
pairs        lists of them
sheets       a contact sheet of them
grading      grade notebooks: the command
examiner     grade one submission: have it tried in a sandbox, judge what came out
reports      what a teacher reads of a grading: tables, a page, a spreadsheet, feedback
sandbox      a room for one submission: a process with limits, and bubblewrap
rehearsal    a right training step to compare with
judging      judge what a function did on inputs that are drawn here
formulas     what each function should give, and which mistakes give what it gave
mistakes     the mistakes that students make, as data
examining    what of a submission runs, in a process of its own
trying       try a function on given inputs
hints        what to do about an error
exercises    make the edition with blanks
submissions  submissions as data: find them, read them
assignment   what the assignment asks for
frames       messages between processes that need not trust each other
runner       run a notebook from a terminal
terminal     what is shown of it there, and how Ctrl-C stops it
page         the studio's page: what is chosen, the painter behind it, the picture
exchange     pictures that come from a browser, and go back
easel        paint from the terminal: progress, the picture in the making, Ctrl-C
resuming     what a painting leaves on disk, to be gone on with
painting     a picture soon: coarse to fine
clock        how much of it is done, and how long the rest takes
budget       how much of a picture fits into memory
tiles        cost and gradient, whole or in tiles
cutting      where a picture is cut into tiles
costs        what a painting costs
descent      L-BFGS, an evaluation at a time
training     a run to watch, stop and continue
advice       begin a notebook; where a cell fails: which one to go back to
origins      where a cell's names come from, and which blank is to blame
notebook     notebooks as data: their cells, their functions
blanks       what a student fills in
network      VGG as a graph
gradients    frozen weights, Gram matrices: what makes a step cheap
fetching     get the weight file
weights      the weight file: read, write, name
originals    the photograph and the style pictures, read at the scale of a level
recolouring  images from one size, and one set of colours, to another
pictures     pictures in, out and shown
formats      picture files of every format, opened; or one sentence
options      options of the commands, refused in one sentence
files        whole or not at all; one process a folder
tf1          TensorFlow 1's meaning; quiet imports
processor    what the processor has, and the kernels that are fast on it
config       CONFIG, and where things are
"""


def load_ipython_extension(ipython):
    """Turn the kernel of `ipython` into one of 2018: what `%load_ext nst` calls."""
    from nst.tf1 import load_ipython_extension as load  # here: `python -m nst` starts at once

    load(ipython)
