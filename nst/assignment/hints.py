"""What to do about an error, or about a habit that a function's code shows."""

import re

NOTHING = "it returns None. Either a blank is still None, or the return is missing."
DIES = "it ends Python itself. Look for exit(), os._exit(), or arrays that fill the memory."
NEVER_RETURNS = "it does not return in time. Look for a loop that never ends."
NO_POWER = "In Python ^ is not a power: write ** for it."
OWN_SESSION = "It opens a session of its own, in which no variable has a value: take sess.run."

ERRORS = [  # what a message contains, and what to do
    (
        r"NoneType|None values|value \(None\)|image is object",
        "A blank is still None, here or in a function that this one calls.",
    ),
    (
        r"'(reduce_\w+|matmul|transpose|reshape|square|subtract)' is not defined",
        "Put tf. before it.",
    ),
    ("is not defined", "Run the cell that defines it, or look for a slip in the name."),
    ("^(ModuleNotFound|Import)Error", "Install that package, or leave its import out."),
    (
        "same graph|not an element of this graph|different graph",
        "It uses a tensor from outside, of a stale default graph that tf.reset_default_graph() has "
        "replaced: use the arguments only.",
    ),
    ("attribute 'T'", "A tensor has no .T: take tf.transpose(A)."),
    ("attribute 'dot'", "A tensor has no .dot: take tf.matmul(A, B)."),
    ("attribute 'sum'", "TensorFlow has it as tf.reduce_sum(tensor)."),
    ("attribute 'mean'", "TensorFlow has it as tf.reduce_mean(tensor); the formulas have a sum."),
    ("Tensor'? object has no attribute 'reshape'", "Take tf.reshape(a, shape)."),
    ("Tensor'? object has no attribute 'transpose'", "Take tf.transpose(A)."),
    (
        "Iterating over a symbolic",
        "Python cannot go through a tensor: take a_G.get_shape().as_list() for its sizes, and "
        "tf.reduce_sum for a sum.",
    ),
    ("'dict' object", "model is a dictionary of tensors: take model[layer_name]."),
    (r"operand type\(s\) for \^|[Ll]ogical_?[Xx]or", NO_POWER),
    ("ufunc|numpy array", "NumPy does not know tensors: take the tf function of that name."),
    ("attribute 'numpy'", "That is TensorFlow 2: in a graph only sess.run gives numbers."),
    (
        "'numpy.ndarray' object has no attribute",
        "compute_style_cost passes a_S as an array: take the dimensions from a_G.",
    ),
    ("Dimension'", "a_G.shape holds Dimensions, not numbers: take a_G.get_shape().as_list()."),
    ("same dtype|of type float32|has type int32|type float64", "Make all numbers tf.float32."),
    (
        "FailedPrecondition|ninitialized",
        "A variable has no value yet: sess.run the initializer first, and each assign.",
    ),
    ("annot reshape", "Count the entries: an activation unrolls to n_H*n_W times n_C."),
    ("must be equal|ncompatible|not compatible|not a matrix", "Compare the .shape of both sides."),
    ("referenced before|not associated", "The line that sets this variable is missing or later."),
    ("unpack", "An activation's get_shape().as_list() has four entries: m, n_H, n_W, n_C."),
    (
        "KeyError|list indices must be",
        "Loop over the pairs (layer_name, coeff) of STYLE_LAYERS, and take model[layer_name].",
    ),
    ("fetch.*cannot be interpreted", "sess.run takes a tensor or an operation, not its name."),
    ("fetch.*function", "Call it, with () behind its name: sess.run takes what it returns."),
    ("[Ff]etch", "sess.run takes tensors and operations of the graph, nothing else."),
    ("reduction_indices", "tf.reduce_sum takes one tensor: subtract and square before it."),
    (r"missing \d+ required|takes \d+ pos", "Compare the call with the def line of that function."),
    ("'int' object is not iterable", "Loop over range(num_iterations)."),
    ("can only concatenate str", "Make text of the number: str(i)."),
    (
        "module 'tensorflow[^']*' has no attribute",
        "Look for a slip in its name; a function of yours takes no tf. before it.",
    ),
    ("MemoryError", "Look for arrays that fill the memory."),
    ("No space left|File too large", "Write less: there is no room for so much."),
    ("RecursionError", "It calls itself without end."),
    ("No such file", "Name a file of images/ by a path that begins in the project's folder."),
]

CLUES = {  # what a function's code shows, and what to do if its value is wrong
    "np.sum": "np.sum does not sum up a tensor: take tf.reduce_sum.",
    "np.mean": "np.mean does not average a tensor: take tf.reduce_sum, and the formula's fraction.",
    "^": NO_POWER,
    "Session": OWN_SESSION,
}


def told(error):
    """Tell an error as "NameError: name 'x' is not defined", in 2,000 characters at most."""
    try:
        return f"{type(error).__name__}: {error}"[:2000]
    except BaseException:  # a stranger's error may raise another one when it is shown
        return type(error).__name__


def explain(said, clues=()):
    """Say in short what an error says, and what to do about it.

    Arguments:
    said -- "NameError: name 'x' is not defined"
    clues -- keys of CLUES
    """
    hints = [hint for pattern, hint in ERRORS if re.search(pattern, said)]
    if "Session" in clues and re.search("FailedPrecondition|ninitialized|graph", said):
        hints.insert(0, OWN_SESSION)
    if "^" in clues and re.match("(Type|Value|ZeroDivision)Error|InvalidArgument", said):
        hints.insert(0, NO_POWER)
    # TensorFlow goes on for many lines, and names graphs and nodes that no student has seen.
    short = re.split(r" \(graphs are|\. You can attempt| for '\{\{|: Graph execution|\n", said)[0][
        :200
    ].rstrip(". ")
    return f"{short}. {hints[0] if hints else 'Run it again, and look at the line that it names.'}"
