"""Advice for an error, and for a habit that a function's code shows."""

import re

NOTHING = "it returns None. Either a blank is still None, or the return is missing."
DIES = "it ends Python itself. Look for exit(), os._exit(), or arrays that fill the memory."
NEVER_RETURNS = "it does not return in time. Look for a loop that never ends."
NO_POWER = "In Python ^ is not a power: use **."
DIMENSIONS = "get_shape() and .shape hold Dimensions, not numbers: use a_G.get_shape().as_list()."
PAIRS = "STYLE_LAYERS is a list: loop over its pairs (layer_name, coeff), take model[layer_name]."
ACTIVATIONS = ("compute_content_cost", "compute_layer_style_cost")
STYLE, MODEL = ("compute_style_cost",), ("model_nn",)
NOT_INITIALIZED = "FailedPrecondition|ninitialized"

# (pattern of the code, pattern of an error that it explains, advice)
HABITS = [
    (r"\^", "^(Type|Value|ZeroDivision)Error|InvalidArgument", NO_POWER),
    (
        r"\b(Interactive)?Session\(",
        f"{NOT_INITIALIZED}|graph",
        "It opens its own session, in which no variable has a value: use sess.run.",
    ),
    (
        r"\.minimize\(",
        NOT_INITIALIZED,
        "minimize must be of J, and be called once, before the initializer, which must see its new "
        "variables; only sess.run(train_step) inside the loop.",
    ),
    (
        "feed_dict",
        "InvalidArgument|feed",
        "model['input'] is a variable, not a placeholder: assign once, and leave feed_dict out.",
    ),
    (r"get_shape\(\)(?!\.)", "same dtype|int32", DIMENSIONS),
    ("//", "same dtype|int32", "// rounds down to a whole number: use /."),
    (r"\b(np|numpy)\.sum\(", "$^", "np.sum does not sum a tensor: use tf.reduce_sum."),
    (r"\b(np|numpy)\.mean\(", "$^", "np.mean takes no tensor: use tf.reduce_sum and the fraction."),
]

# (pattern of an error, advice, and the functions that it is about, if not any)
ERRORS = [
    ("gram_matrix takes a matrix", "Reshape to [n_H*n_W, n_C], without m, then transpose."),
    (
        r"NoneType|None values|value \(None\)|image is object",
        "A blank is still None, here or in a function that this one calls.",
    ),
    (r"'(reduce_\w+|matmul|transpose|reshape|square|subtract)' is not", "Put tf. before it."),
    ("is not defined", "Run the cell that defines it, or look for a slip in the name."),
    ("^(ModuleNotFound|Import)Error", "Install that package, or leave its import out."),
    (
        "same graph|not an element of this graph|different graph",
        "It uses a tensor from outside, of a stale graph: use the arguments only.",
    ),
    ("attribute 'T'", "A tensor has no .T: use tf.transpose(A)."),
    ("attribute 'dot'", "A tensor has no .dot: use tf.matmul(A, B)."),
    ("attribute 'sum'", "TensorFlow has it as tf.reduce_sum(tensor)."),
    ("attribute 'mean'", "TensorFlow has it as tf.reduce_mean; the formulas have a sum."),
    ("Tensor'? object has no attribute 'reshape'", "Use tf.reshape(a, shape)."),
    ("Tensor'? object has no attribute 'transpose'", "Use tf.transpose(A)."),
    (
        "Iterating over a symbolic",
        "Take sizes from a_G.get_shape().as_list(), sum by tf.reduce_sum.",
    ),
    ("'(list|tuple)' object has no attribute '(items|keys|values)'", PAIRS, STYLE),
    ("'dict'", "model is a dictionary of tensors: use model[layer_name].", STYLE),
    ("'dict'", "model is a dictionary: its image is model['input'].", MODEL),
    (r"operand type\(s\) for \^|[Ll]ogical_?[Xx]or", NO_POWER),
    ("ufunc|numpy array", "NumPy cannot compute with tensors: use the tf function instead."),
    ("attribute 'numpy'", "That is TensorFlow 2: in a graph only sess.run gives numbers."),
    (
        "'numpy.ndarray' object has no attribute",
        "Of the activations a_S and a_C are arrays, by sess.run; take the dimensions from a_G.",
    ),
    (r"Dimension \d in both shapes", "Assign input_image, the argument.", MODEL),
    (r"Dimension\b(?! \d)|TensorShape", DIMENSIONS),
    ("Too many arguments", "That call has an argument too many: count those that it takes."),
    ("same dtype|of type float32|has type int32|type float64", "Make all numbers tf.float32."),
    (NOT_INITIALIZED, "A variable has no value yet: sess.run the initializer, then each assign."),
    ("annot reshape", "Count the entries: an activation unrolls to n_H*n_W times n_C."),
    ("must be equal|ncompatible|t compatible|not a matrix", "Compare the .shape of both sides."),
    ("referenced before|not associated", "The line that sets it is missing or later."),
    (
        r"unpack \(expected [^4]",
        "An activation's get_shape().as_list() has four entries: m, n_H, n_W, n_C.",
        ACTIVATIONS,
    ),
    ("unpack", PAIRS, STYLE),
    ("unpack", "Compare the number of names on the left with what the right side gives."),
    (
        r"KeyError: '(?!input'|conv[12]_[12]'|conv[345]_[1-4]'|avgpool[1-5]')",
        "Is it a layer? model has the keys input, conv1_1, conv1_2, conv2_1, conv2_2, conv3_1 to "
        "conv3_4, conv4_1 to conv4_4, conv5_1 to conv5_4, and avgpool1 to avgpool5.",
        (*STYLE, *MODEL, ""),
    ),
    ("KeyError|list indices must be", PAIRS, STYLE),
    ("KeyError", "Print the keys of that dictionary, and compare."),
    (
        r"fetch` = \[\[\[",
        "The input stays a variable: sess.run(model['input'].assign(image)).",
        MODEL,
    ),
    ("fetch.*cannot be interpreted", "sess.run takes a tensor or an operation, not its name."),
    ("fetch.*function", "Call it, with () after its name: sess.run takes what it returns."),
    ("[Ff]etch", "sess.run takes tensors and operations of the graph, nothing else."),
    ("expected string or bytes-like", "Put a shape in brackets: tf.reshape(a, [rows, columns])."),
    ("graph is empty", "Leave out sess.run: its argument is not a tensor of this graph."),
    ("reduction_indices", "tf.reduce_sum takes one tensor: combine the two before it."),
    (
        r"missing (\d+|a) required|takes \d+ pos|takes from|unexpected keyword|too many positional",
        "Compare the call with the def line of that function.",
    ),
    ("'int' object is not iterable", "Loop over range(num_iterations).", MODEL),
    ("object is not callable", "It is not a function: leave out its (), or give it to sess.run."),
    ("can only concatenate str", "Convert the number: str(i)."),
    (
        "module 'tensorflow[^']*' has no",
        "Look for a slip; your own functions take no tf. before them.",
    ),
    ("MemoryError|OOM", "Look for arrays that fill the memory."),
    ("No space left|File too large", "Write less: that is more than the disk space allowed."),
    ("RecursionError", "It calls itself without end."),
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
    # TensorFlow appends graphs and nodes that no student has seen.
    short = re.split(r" \(graphs are|\. You can attempt| for '\{\{|\n", error)[0][:200].rstrip(". ")
    return f"{short}. {[*hints, 'Run it again, and look at the line that it names.'][0]}"


def habits(code):
    """List the advice for habits that a function's code shows, if its value is wrong."""
    return [advice for habit, _, advice in HABITS if re.search(habit, code)]
