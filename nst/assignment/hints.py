"""Advice for an error, or for a habit that a function's code shows."""

import re
from typing import NamedTuple

NOTHING = "it returns None. Either a blank is still None, or the return is missing."
DIES = "it ends Python itself. Look for exit(), os._exit(), or arrays that fill the memory."
NEVER_RETURNS = "it does not return in time. Look for a loop that never ends."
NO_POWER = "In Python ^ is not a power: use **."
OWN_SESSION = "It opens its own session, in which no variable has a value: use sess.run."
NO_FEED = (
    "model['input'] is a variable, not a placeholder: sess.run(model['input'].assign(image)) once "
    "before the loop, and leave feed_dict out."
)
DIMENSIONS = (
    "a_G.shape and get_shape() hold Dimensions, not numbers: use a_G.get_shape().as_list()."
)
UNPACKING = "An activation's get_shape().as_list() has four entries: m, n_H, n_W, n_C."
PAIRS = (
    "Loop over the pairs (layer_name, coeff) of STYLE_LAYERS, which is a list, and take "
    "model[layer_name]."
)
ACTIVATIONS = ("compute_content_cost", "compute_layer_style_cost")
STYLE, MODEL = ("compute_style_cost",), ("model_nn",)
MINIMIZE_IN_LOOP = (
    "minimize builds new operations and variables, which the initializer never saw: call it once, "
    "before the initializer, and only sess.run(train_step) inside the loop."
)


class Hint(NamedTuple):
    pattern: str  # of a message
    advice: str
    functions: tuple = ()  # that it is about; empty for any


ERRORS = [
    Hint(r"gram_matrix takes a matrix", "Reshape to [n_H*n_W, n_C], without m, then transpose."),
    Hint(
        r"NoneType|None values|value \(None\)|image is object",
        "A blank is still None, here or in a function that this one calls.",
    ),
    Hint(
        r"'(reduce_\w+|matmul|transpose|reshape|square|subtract)' is not defined",
        "Put tf. before it.",
    ),
    Hint(
        "is not defined|is not there",
        "Run the cell that defines it, or look for a slip in the name.",
    ),
    Hint("^(ModuleNotFound|Import)Error", "Install that package, or leave its import out."),
    Hint(
        "same graph|not an element of this graph|different graph",
        "It uses a tensor from outside, of a stale default graph that tf.reset_default_graph() has "
        "replaced: use the arguments only.",
    ),
    Hint("attribute 'T'", "A tensor has no .T: use tf.transpose(A)."),
    Hint("attribute 'dot'", "A tensor has no .dot: use tf.matmul(A, B)."),
    Hint("attribute 'sum'", "TensorFlow has it as tf.reduce_sum(tensor)."),
    Hint("attribute 'mean'", "TensorFlow has it as tf.reduce_mean; the formulas have a sum."),
    Hint("Tensor'? object has no attribute 'reshape'", "Use tf.reshape(a, shape)."),
    Hint("Tensor'? object has no attribute 'transpose'", "Use tf.transpose(A)."),
    Hint(
        "Iterating over a symbolic",
        "Python cannot go through a tensor: use a_G.get_shape().as_list() for its sizes, and "
        "tf.reduce_sum for a sum.",
    ),
    Hint("'(list|tuple)' object has no attribute '(items|keys|values)'", PAIRS, STYLE),
    Hint("'dict' object", "model is a dictionary of tensors: use model[layer_name].", STYLE),
    Hint("'dict' object", "model is a dictionary: its image is model['input'].", MODEL),
    Hint(r"operand type\(s\) for \^|[Ll]ogical_?[Xx]or", NO_POWER),
    Hint("ufunc|numpy array", "NumPy cannot compute with tensors: use the tf function instead."),
    Hint("attribute 'numpy'", "That is TensorFlow 2: in a graph only sess.run gives numbers."),
    Hint(
        "'numpy.ndarray' object has no attribute",
        "a_S and a_C are passed as arrays, by sess.run(out): take the dimensions from a_G.",
    ),
    Hint(r"Dimension\b|TensorShape", DIMENSIONS),
    Hint("Too many arguments", "That call has an argument too many: count those that it takes."),
    Hint("same dtype|of type float32|has type int32|type float64", "Make all numbers tf.float32."),
    Hint(
        "FailedPrecondition|ninitialized",
        "A variable has no value yet: sess.run the initializer first, and each assign.",
    ),
    Hint("annot reshape", "Count the entries: an activation unrolls to n_H*n_W times n_C."),
    Hint(
        "must be equal|ncompatible|t compatible|not a matrix", "Compare the .shape of both sides."
    ),
    Hint("referenced before|not associated", "The line that sets it is missing or later."),
    Hint("unpack", UNPACKING, ACTIVATIONS),
    Hint("unpack", PAIRS, STYLE),
    Hint("unpack", "Compare the number of names on the left with what the right side gives."),
    Hint(
        r"KeyError: '(?!input'|conv[12]_[12]'|conv[345]_[1-4]'|avgpool[1-5]')",
        "Is it a layer? model has the keys input, conv1_1, conv1_2, conv2_1, conv2_2, conv3_1 to "
        "conv3_4, conv4_1 to conv4_4, conv5_1 to conv5_4, and avgpool1 to avgpool5.",
        (*STYLE, *MODEL, ""),
    ),
    Hint("KeyError|list indices must be", PAIRS, STYLE),
    Hint("KeyError", "Print the keys of that dictionary, and compare."),
    Hint(
        r"fetch` = \[\[\[",
        "model['input'] is a variable: keep it, and sess.run(model['input'].assign(image)).",
        MODEL,
    ),
    Hint(
        "fetch.*cannot be interpreted",
        "sess.run takes a tensor or an operation, not its name.",
    ),
    Hint("fetch.*function", "Call it, with () after its name: sess.run takes what it returns."),
    Hint("[Ff]etch", "sess.run takes tensors and operations of the graph, nothing else."),
    Hint("reduction_indices", "tf.reduce_sum takes one tensor: subtract and square before it."),
    Hint(
        r"missing (\d+|a) required|takes \d+ pos|takes from|unexpected keyword|too many positional",
        "Compare the call with the def line of that function.",
    ),
    Hint("'int' object is not iterable", "Loop over range(num_iterations).", MODEL),
    Hint("can only concatenate str", "Convert the number: str(i)."),
    Hint(
        "module 'tensorflow[^']*' has no attribute",
        "Look for a slip in its name; your own functions take no tf. before them.",
    ),
    Hint("MemoryError", "Look for arrays that fill the memory."),
    Hint("No space left|File too large", "Write less: that is more than the disk space allowed."),
    Hint("RecursionError", "It calls itself without end."),
    Hint("No such file", "Name a file of images/ by a path that begins in the project's folder."),
    Hint("does not return in time|TimeUp", "Look for a loop that never ends."),
]

CLUES = {  # what a function's code shows: (advice if its value is wrong, errors that it explains)
    "^": (NO_POWER, "^(Type|Value|ZeroDivision)Error|InvalidArgument"),
    "Session": (OWN_SESSION, "FailedPrecondition|ninitialized|graph"),
    "minimize": (MINIMIZE_IN_LOOP, "FailedPrecondition|ninitialized"),
    "feed_dict": (NO_FEED, "InvalidArgument|feed"),
    "get_shape": (DIMENSIONS, "same dtype|int32"),
    "//": ("// rounds down to a whole number: use /.", "same dtype|int32"),
    "np.sum": ("np.sum does not sum a tensor: use tf.reduce_sum.", "$^"),
    "np.mean": (
        "np.mean does not average a tensor: use tf.reduce_sum, and the formula's fraction.",
        "$^",
    ),
}


def format_error(error):
    """Format an error as "NameError: name 'x' is not defined", in at most 2,000 characters."""
    try:
        message = str(error)
        if message.startswith("Graph execution error"):  # the reason is the last of some lines
            lines = message.partition("\n\nOriginal stack")[0].splitlines()
            message = [line.strip() for line in lines if line.strip() and "[[{{" not in line][-1]
        return f"{type(error).__name__}: {message}"[:2000]
    except BaseException:  # an error of a submission may raise another one when it is shown
        return type(error).__name__


def explain(error, clues=(), function=""):
    """Shorten an error and append advice.

    Arguments:
    error -- "NameError: name 'x' is not defined"
    clues -- keys of CLUES
    function -- name of the graded function that stopped, "" for a cell of the notebook
    """
    hints = [CLUES[clue][0] for clue in CLUES if clue in clues and re.search(CLUES[clue][1], error)]
    hints += [
        hint.advice
        for hint in ERRORS
        if re.search(hint.pattern, error) and (not hint.functions or function in hint.functions)
    ]
    # TensorFlow appends graphs and nodes that no student has seen.
    short = re.split(r" \(graphs are|\. You can attempt| for '\{\{|\n", error)[0][:200].rstrip(". ")
    return f"{short}. {[*hints, 'Run it again, and look at the line that it names.'][0]}"
