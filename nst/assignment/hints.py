"""Advice for an error, and for a habit that a function's code shows."""

import re

from nst.assignment.spec import VGG_LAYERS

NOTHING = "it returns None. Either a blank is still None, or the return is missing."
DIES = "it ends Python itself. Look for exit(), os._exit(), or arrays that fill the memory."
NEVER_RETURNS = "it does not return in time. Look for a loop that never ends."
DIMENSIONS = "get_shape() and .shape hold Dimensions, not numbers: use a_G.get_shape().as_list()."
STYLE, MODEL = ("compute_style_cost",), ("model_nn",)
NOT_INITIALIZED = "FailedPrecondition|ninitialized"

# (pattern of the code, pattern of an error that it explains, advice)
HABITS = [
    (r"\^", "^(Type|Value|ZeroDivision)Error|InvalidArgument", "^ is not a power: use **."),
    (r"Session\(", f"{NOT_INITIALIZED}|graph", "It opens its own session: use sess instead."),
    (
        r"\.minimize\(",
        NOT_INITIALIZED,
        "Call minimize(J) once, before the initializer; only sess.run(train_step) inside the loop.",
    ),
    ("feed_dict", "feed|InvalidArg", "model['input'] is a variable: assign, leave feed_dict out."),
    (r"get_shape\(\)(?!\.)", "same dtype|int32", DIMENSIONS),
    ("//", "same dtype|int32", "// rounds down to a whole number: use /."),
    (r"\b(np|numpy)\.(sum|mean)\(", "$^", "NumPy does not sum tensors: use tf.reduce_sum."),
]

# (pattern of an error, advice, and the functions that it is about, if not any)
ERRORS = [
    ("gram_matrix takes a matrix", "Reshape to [n_H*n_W, n_C], without m, then transpose."),
    (r"None(Type| val)|\(None\)|image is obj", "A blank is still None, here or in what it calls."),
    (r"'(reduce_\w+|matmul|transpose|reshape|square|subtract)' is not", "Put tf. before it."),
    ("is not defined", "Run the cell that defines it, or look for a slip in the name."),
    ("^(ModuleNotFound|Import)Error", "Install that package, or leave its import out."),
    (
        "(same|this|different) graph|graph is empty",
        "It uses a tensor from outside, of a stale graph: use the arguments only.",
    ),
    (
        "Tensor.*attribute '(T|dot|sum|mean|reshape|transpose)'|tensorflow.*attribute '(sum|mean)'",
        "TensorFlow has tf.transpose(A), tf.matmul(A, B), tf.reduce_sum(a), tf.reshape(a, shape).",
    ),
    ("Iterating over", "Take sizes from a_G.get_shape().as_list(), sum by tf.reduce_sum."),
    ("'dict'", "model is a dictionary: use model[layer_name], model['input'].", (*STYLE, *MODEL)),
    ("ufunc|numpy array", "NumPy cannot compute with tensors: use the tf function instead."),
    ("attribute 'numpy'", "That is TensorFlow 2: in a graph only sess.run gives numbers."),
    ("'(get_shape|as_list)'", "a_S and a_C are arrays: take the dimensions from a_G."),
    (r"Dimension \d in both shapes", "Assign input_image, the argument.", MODEL),
    (r"Dimension\b(?! \d)|TensorShape", DIMENSIONS),
    ("same dtype|of type float32|has type int32|type float64", "Make all numbers tf.float32."),
    (NOT_INITIALIZED, "A variable has no value yet: sess.run the initializer, then each assign."),
    ("annot reshape", "Count the entries: an activation unrolls to n_H*n_W times n_C."),
    ("must be equal|ncompatible|t compatible|not a matrix", "Compare the .shape of both sides."),
    ("referenced before|not associated", "The line that sets it is missing or later."),
    (
        f"KeyError: '(?!({'|'.join(VGG_LAYERS)}|input)')",
        f"Is it a layer? model has the keys input, {', '.join(VGG_LAYERS)}.",
        (*STYLE, *MODEL, ""),
    ),
    (
        r"'(list|tuple)' object has no|list indices must be|unpack|KeyError",
        "STYLE_LAYERS is a list: loop over its pairs (layer_name, coeff), take model[layer_name].",
        STYLE,
    ),
    ("unpack", "Compare both sides: the shape of activations has m, n_H, n_W and n_C."),
    ("KeyError", "Print the keys of that dictionary, and compare."),
    (r"\[\[\[|'assign'", "model['input'] is a variable: assign changes, sess.run reads it.", MODEL),
    ("[Ff]etch", "sess.run takes tensors and operations, not names, nor functions without ()."),
    ("expected string or bytes-like", "Put a shape in brackets: tf.reshape(a, [rows, columns])."),
    ("reduction_indices", "tf.reduce_sum takes one tensor: combine the two before it."),
    (
        r"required (pos|arg|key)|takes (\d|from)|unexpected keyword|[Tt]oo many (pos|arg)",
        "Compare the arguments of the call with those that the function takes.",
    ),
    ("'int' object is not iterable", "Loop over range(num_iterations).", MODEL),
    ("object is not callable", "It is not a function: leave out its (), or give it to sess.run."),
    ("can only concatenate str", "Convert the number: str(i)."),
    ("module 'tensorflow", "Look for a slip; your own functions take no tf. before them."),
    ("MemoryError|OOM|No space|too large", "Look for an array or a file that is far too large."),
    ("No such file|not found", "Name a file of images/ from the project's folder on."),
    ("does not return in time", "Look for a loop that never ends."),
]


def format_error(error):
    """Format an error as "NameError: name 'x' is not defined", in at most 2,000 characters."""
    try:
        message = str(error)
        if message.startswith("Graph execution error"):  # the reason is the last of some lines
            lines = re.split("\n\nOriginal stack|\nHint:", message)[0].splitlines()
            message = [line.strip() for line in lines if line.strip() and "[[{{" not in line][-1]
        return f"{type(error).__name__}: {message}"[:2000]
    except BaseException:  # an error of a submission may raise another one when it is shown
        return type(error).__name__


def explain(error, code="", function=""):
    """Shorten an error and append advice.

    Arguments:
    error -- "NameError: name 'x' is not defined"
    code -- source of the function
    function -- name of the graded function that stopped, "" for a cell of the notebook
    """
    hints = [
        advice
        for habit, pattern, advice in HABITS
        if re.search(habit, code) and re.search(pattern, error)
    ]
    hints += [
        advice
        for pattern, advice, *functions in ERRORS
        if re.search(pattern, error) and (not functions or function in functions[0])
    ]
    # TensorFlow appends graphs, nodes and devices that no student has seen.
    short = re.split(r" \(graphs are|\. You can attempt| for '\{\{| on /job:|\n", error)[0]
    advice = [*hints, "Run it again, and look at the line that it names."][0]
    return f"{short[:200].rstrip('. ')}. {advice}"


def habits(code):
    """List the advice for habits that a function's code shows, if its value is wrong."""
    return [advice for habit, _, advice in HABITS if re.search(habit, code)]
