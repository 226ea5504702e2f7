"""Answers of students, for the tests of the public tests and of the grading.

A wrong answer is an edit of the solution, a right one a whole function.
"""

from nbformat.v4 import new_code_cell, new_notebook

SOLUTION = {
    "compute_content_cost": """
def compute_content_cost(a_C, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    a_C_unrolled = tf.transpose(tf.reshape(a_C, [n_H * n_W, n_C]))
    a_G_unrolled = tf.transpose(tf.reshape(a_G, [n_H * n_W, n_C]))
    total = tf.reduce_sum(tf.square(tf.subtract(a_C_unrolled, a_G_unrolled)))
    J_content = 1 / (4 * n_H * n_W * n_C) * total
    return J_content
""",
    "gram_matrix": """
def gram_matrix(A):
    GA = tf.matmul(A, tf.transpose(A))
    return GA
""",
    "compute_layer_style_cost": """
def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    a_S = tf.transpose(tf.reshape(a_S, [n_H * n_W, n_C]))
    a_G = tf.transpose(tf.reshape(a_G, [n_H * n_W, n_C]))
    GS = gram_matrix(a_S)
    GG = gram_matrix(a_G)
    total = tf.reduce_sum(tf.square(tf.subtract(GS, GG)))
    J_style_layer = 1 / (4 * n_C**2 * (n_H * n_W)**2) * total
    return J_style_layer
""",
    "compute_style_cost": """
def compute_style_cost(model, STYLE_LAYERS):
    J_style = 0
    for layer_name, coeff in STYLE_LAYERS:
        out = model[layer_name]
        a_S = sess.run(out)
        a_G = out
        J_style_layer = compute_layer_style_cost(a_S, a_G)
        J_style += coeff * J_style_layer
    return J_style
""",
    "total_cost": """
def total_cost(J_content, J_style, alpha = 10, beta = 40):
    J = alpha * J_content + beta * J_style
    return J
""",
    "model_nn": """
def model_nn(sess, input_image, num_iterations = 200):
    sess.run(tf.global_variables_initializer())
    sess.run(model['input'].assign(input_image))
    for i in range(num_iterations):
        sess.run(train_step)
        generated_image = sess.run(model['input'])
        if i % 20 == 0:
            Jt, Jc, Js = sess.run([J, J_content, J_style])
            print('Iteration ' + str(i) + ' :')
            print('total cost = ' + str(Jt))
            print('content cost = ' + str(Jc))
            print('style cost = ' + str(Js))
            save_image('output/' + str(i) + '.png', generated_image)
    save_image('output/generated_image.jpg', generated_image)
    return generated_image
""",
}

# The same, written otherwise: whole functions.
RIGHT = {
    "not unrolled, tf.square": """
def compute_content_cost(a_C, a_G):
    _, n_H, n_W, n_C = a_G.get_shape().as_list()
    return tf.reduce_sum(tf.square(a_C - a_G)) / (4 * n_H * n_W * n_C)
""",
    "tf.pow, divided step by step": """
def compute_content_cost(a_C, a_G):
    _, n_H, n_W, n_C = a_G.get_shape().as_list()
    return tf.reduce_sum(tf.pow(a_G - a_C, 2)) / 4 / n_H / n_W / n_C
""",
    "dimensions from a_C, squared_difference": """
def compute_content_cost(a_C, a_G):
    n_H, n_W, n_C = a_C.shape.as_list()[1:]
    return tf.reduce_sum(tf.math.squared_difference(a_C, a_G)) / (4 * n_H * n_W * n_C)
""",
    "np.power(tensor, 2)": """
def compute_content_cost(a_C, a_G):
    _, n_H, n_W, n_C = a_G.get_shape().as_list()
    return 1 / (4 * n_H * n_W * n_C) * tf.reduce_sum(np.power(a_C - a_G, 2))
""",
    "mean with the right factor": """
def compute_content_cost(a_C, a_G):
    return tf.reduce_mean((a_C - a_G) ** 2) / 4
""",
    "a_G.shape, entry by entry": """
def compute_content_cost(a_C, a_G):
    n_H, n_W, n_C = (int(n) for n in a_G.shape[1:])
    return 0.25 / (n_H * n_W * n_C) * tf.reduce_sum((a_C - a_G) * (a_C - a_G))
""",
    "tf.shape and tf.cast": """
def compute_content_cost(a_C, a_G):
    entries = tf.cast(tf.reduce_prod(tf.shape(a_G)), tf.float32)
    return tf.reduce_sum(tf.square(a_C - a_G)) / (4.0 * entries)
""",
    "half of l2_loss": """
def compute_content_cost(a_C, a_G):
    return tf.nn.l2_loss(a_C - a_G) / (2 * a_G.get_shape().num_elements())
""",
    "sum over one axis after the other": """
def compute_content_cost(a_C, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    squares = tf.square(tf.reshape(a_C, [-1, n_C]) - tf.reshape(a_G, [-1, n_C]))
    return tf.reduce_sum(tf.reduce_sum(squares, axis=0)) / (4 * n_H * n_W * n_C)
""",
    "transpose_b": """
def gram_matrix(A):
    return tf.matmul(A, A, transpose_b=True)
""",
    "einsum": """
def gram_matrix(A):
    return tf.einsum('ik,jk->ij', A, A)
""",
    "the operator @ and perm": """
def gram_matrix(A):
    return A @ tf.transpose(A, perm=[1, 0])
""",
    "tensordot": """
def gram_matrix(A):
    return tf.tensordot(A, A, [[1], [1]])
""",
    "all by broadcasting": """
def gram_matrix(A):
    return tf.reduce_sum(A[:, None, :] * A[None, :, :], axis=2)
""",
    "dimensions from a_S": """
def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = (int(n) for n in a_S.shape)
    GS = gram_matrix(tf.transpose(tf.reshape(a_S, (n_H * n_W, n_C))))
    GG = gram_matrix(tf.transpose(tf.reshape(a_G, (n_H * n_W, n_C))))
    return tf.reduce_sum(tf.square(GS - GG)) / (2 * n_C * n_H * n_W) ** 2
""",
    "get_shape of a_G, tf.subtract": """
def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    a_S = tf.transpose(tf.reshape(a_S, [-1, n_C]))
    a_G = tf.transpose(tf.reshape(a_G, [-1, n_C]))
    difference = tf.subtract(gram_matrix(a_S), gram_matrix(a_G))
    return tf.reduce_sum(tf.square(difference)) / (4 * n_C ** 2 * (n_H * n_W) ** 2)
""",
    "transposed before it is reshaped": """
def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    a_S = tf.reshape(tf.transpose(a_S, perm=[0, 3, 1, 2]), [n_C, n_H * n_W])
    a_G = tf.reshape(tf.transpose(a_G, perm=[0, 3, 2, 1]), [n_C, n_W * n_H])
    GS, GG = gram_matrix(a_S), gram_matrix(a_G)
    return 1. / (4 * n_C * n_C * n_H * n_H * n_W * n_W) * tf.reduce_sum(tf.pow(GS - GG, 2))
""",
    "mean with its factor": """
def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    GS = gram_matrix(tf.transpose(tf.reshape(a_S, [n_H * n_W, n_C])))
    GG = gram_matrix(tf.transpose(tf.reshape(a_G, [n_H * n_W, n_C])))
    return tf.reduce_mean(tf.square(GS - GG)) / (4 * (n_H * n_W) ** 2)
""",
    "einsum, no gram_matrix": """
def compute_layer_style_cost(a_S, a_G):
    GS, GG = (tf.einsum('mhwc,mhwd->cd', a, a) for a in (a_S, a_G))
    size = a_G.get_shape().num_elements()
    return tf.reduce_sum(tf.square(GS - GG)) / (4. * size ** 2)
""",
    "squares of differences over two loops": """
def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    GS = gram_matrix(tf.transpose(tf.reshape(a_S, shape=[n_H * n_W, n_C])))
    GG = gram_matrix(tf.transpose(tf.reshape(a_G, shape=[n_H * n_W, n_C])))
    rows = [tf.reduce_sum(tf.square(GS[i] - GG[i])) for i in range(n_C)]
    return tf.add_n(rows) / (4 * n_C ** 2 * (n_H * n_W) ** 2)
""",
    "eval, and a sum of a list": """
def compute_style_cost(model, STYLE_LAYERS):
    costs = [
        coeff * compute_layer_style_cost(model[name].eval(), model[name])
        for name, coeff in STYLE_LAYERS
    ]
    return tf.add_n(costs)
""",
    "the session named by tf": """
def compute_style_cost(model, STYLE_LAYERS):
    J_style = tf.constant(0.0)
    for i in range(len(STYLE_LAYERS)):
        name, coeff = STYLE_LAYERS[i]
        a_S = tf.get_default_session().run(model[name])
        J_style = J_style + compute_layer_style_cost(a_S, model[name]) * coeff
    return J_style
""",
    "tf.add": """
def total_cost(J_content, J_style, alpha=10, beta=40):
    return tf.add(alpha * J_content, beta * J_style)
""",
    "other order": """
def total_cost(J_content, J_style, alpha=10., beta=40.):
    return J_style * beta + J_content * alpha
""",
    "while, load and run": """
def model_nn(sess, input_image, num_iterations=200):
    tf.global_variables_initializer().run()
    model['input'].load(input_image, sess)
    i = 0
    while i < num_iterations:
        _, Jt = sess.run([train_step, J])
        i += 1
    generated_image = model['input'].eval()
    save_image('output/generated_image.jpg', generated_image)
    return generated_image
""",
}

# The same with other names and other tools.
RIGHT |= {
    "a session of another name": """
session = tf.InteractiveSession()

def compute_style_cost(model, STYLE_LAYERS):
    return tf.add_n([
        coeff * compute_layer_style_cost(session.run(model[name]), model[name])
        for name, coeff in STYLE_LAYERS
    ])
""",
    "no compute_layer_style_cost": """
def compute_style_cost(model, STYLE_LAYERS):
    J_style = 0
    for name, coeff in STYLE_LAYERS:
        m, n_H, n_W, n_C = model[name].get_shape().as_list()
        GS, GG = (tf.einsum('mhwc,mhwd->cd', a, a) for a in (sess.run(model[name]), model[name]))
        J_style += coeff * tf.reduce_sum((GS - GG)**2) / (4. * n_C**2 * (n_H * n_W)**2)
    return J_style
""",
    "a gram_matrix of batches": """
gram_matrix = lambda A: tf.matmul(A, A, transpose_b=True)

def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    GS, GG = (
        gram_matrix(tf.transpose(tf.reshape(a, [m, n_H * n_W, n_C]), [0, 2, 1]))
        for a in (a_S, a_G)
    )
    return tf.reduce_sum((GS - GG)**2) / (4. * n_C**2 * (n_H * n_W)**2)
""",
    "a call by its own names": """
def gram_matrix(X, power=1):
    return tf.matmul(X, X, transpose_b=True)

def compute_layer_style_cost(a_S, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    GS, GG = (gram_matrix(X=tf.transpose(tf.reshape(a, [-1, n_C]))) for a in (a_S, a_G))
    return tf.reduce_sum((GS - GG)**2) / (4. * n_C**2 * (n_H * n_W)**2)
""",
    "minimize within model_nn": """
def model_nn(sess, input_image, num_iterations=200):
    step = tf.train.AdamOptimizer(2.0).minimize(J)
    sess.run(tf.global_variables_initializer())
    sess.run(model['input'].assign(input_image))
    for i in range(num_iterations):
        sess.run(step)
    return sess.run(model['input'])
""",
    "an optimizer from outside": """
opt = tf.train.AdamOptimizer(2.0)

def model_nn(sess, input_image, num_iterations=200):
    step = opt.minimize(J)
    sess.run(tf.global_variables_initializer())
    sess.run(model['input'].assign(input_image))
    for i in range(num_iterations):
        sess.run(step)
    return sess.run(model['input'])
""",
}

# The same as callables of other kinds.
RIGHT |= {
    "a partial": """
import functools

def scaled(factor, a_C, a_G):
    return tf.reduce_mean((a_C - a_G) ** 2) * factor

compute_content_cost = functools.partial(scaled, 0.25)
""",
    "an object that can be called": """
class Content:
    def __call__(self, a_C, a_G):
        return tf.reduce_mean((a_C - a_G) ** 2) / 4

compute_content_cost = Content()
""",
    "a method of an object": """
class Costs:
    beta = 40
    def total(self, J_content, J_style, alpha=10, beta=40):
        return alpha * J_content + beta * J_style

total_cost = Costs().total
""",
    "a static method of a class": """
class Costs:
    @staticmethod
    def gram(A):
        return tf.matmul(A, tf.transpose(A))

gram_matrix = Costs.gram
""",
    "a lambda": """
gram_matrix = lambda A: tf.matmul(A, A, transpose_b=True)
""",
    "a decorated function": """
import functools

def told(function):
    @functools.wraps(function)
    def inside(*args, **kwargs):
        print(function.__name__)
        return function(*args, **kwargs)
    return inside

@told
def total_cost(J_content, J_style, alpha=10, beta=40):
    return alpha * J_content + beta * J_style
""",
    "a partial of a function with more arguments": """
import functools

def weighted(gram, a_S, a_G, power=2):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    GS = gram(tf.transpose(tf.reshape(a_S, [n_H * n_W, n_C])))
    GG = gram(tf.transpose(tf.reshape(a_G, [n_H * n_W, n_C])))
    return tf.reduce_sum((GS - GG) ** power) / (4 * n_C**2 * (n_H * n_W)**2)

compute_layer_style_cost = functools.partial(weighted, gram_matrix, power=2)
""",
    "arguments of other names": """
def compute_content_cost(content, generated):
    return tf.reduce_mean((content - generated) ** 2) / 4
""",
}

CONTENT, GRAM, LAYER, STYLE, TOTAL, MODEL = SOLUTION
UNROLL, SCRAMBLE = (
    "tf.transpose(tf.reshape({}, [n_H * n_W, n_C]))",
    "tf.reshape({}, [n_C, n_H * n_W])",
)
SCRAMBLE_C, SCRAMBLE_S, SCRAMBLE_G = (
    f"{UNROLL.format(a)} => {SCRAMBLE.format(a)}" for a in ("a_C", "a_S", "a_G")
)
WRONG = [  # (function, what its message says, edits of the solution: "old => new")
    # the fraction of the content cost
    (CONTENT, "the right value times 4. The fraction is 1 / (4", "4 * n_H => n_H"),
    (CONTENT, "the right value times 2.", "4 * n_H => 2 * n_H"),
    (CONTENT, "the mean, not the sum", "reduce_sum => reduce_mean"),
    (CONTENT, "times 4 * n_H * n_W * n_C. The fraction", "1 / (4 * n_H * n_W * n_C) * => "),
    (CONTENT, "the right value times n_H * n_W * n_C.", "(4 * n_H * n_W * n_C) => 4"),
    (
        CONTENT,
        "the right value times n_H**2 * n_W**2 * n_C**2.",
        "(4 * n_H * n_W * n_C) => 4 * n_H * n_W * n_C",
    ),
    (CONTENT, "the right value times n_H.", "n_H * n_W * n_C) * => n_W * n_C) *"),
    (CONTENT, "it is always 0", "1 / ( => 1 // ("),
    (CONTENT, "division by 0", "total\n => total / tf.reduce_sum(0 * a_C)\n"),
    # the sum of the content cost
    (CONTENT, "it is halved once too often", "tf.reduce_sum(tf.square( => tf.nn.l2_loss(("),
    (CONTENT, "it is always 0", "reshape(a_G, => reshape(a_C,"),
    (CONTENT, "the difference is not squared", "tf.square => "),
    (CONTENT, "absolute values are summed", "tf.square => tf.abs"),
    (CONTENT, "the sum is squared", "tf.reduce_sum(tf.square( => tf.square(tf.reduce_sum("),
    (CONTENT, "a root is taken", "tf.reduce_sum(tf.square( => tf.norm(("),
    (CONTENT, "the images are added", "subtract => add"),
    (
        CONTENT,
        "squares are subtracted",
        "tf.square(tf.subtract(a_C_unrolled, a_G_unrolled)) => a_C**2 - a_G**2",
    ),
    (CONTENT, "only one of the two images", "tf.subtract(a_C_unrolled, a_G_unrolled) => a_G"),
    (CONTENT, "the images are unrolled differently", SCRAMBLE_C),
    (CONTENT, "sum over every axis", "tf.reduce_sum( => ("),
    (
        CONTENT,
        "and the result is multiplied by 4. Take tf.reduce_sum",
        "4 * n_H => n_H",
        "reduce_sum => reduce_mean",
    ),
    # no content cost at all
    (CONTENT, "return is missing", "    return J_content\n => "),
    (CONTENT, "a blank is still None", "1 / (4 * n_H * n_W * n_C) * total => None"),
    (CONTENT, "A blank is still None", "a_G.get_shape().as_list() => None"),
    (CONTENT, "a number, not a tensor", "return J_content => return 6.76559"),
    (CONTENT, "it is a constant", "return J_content => return tf.constant(6.76559)"),
    (CONTENT, "it is a constant", "return J_content => return tf.constant(7.0568767)"),
    (CONTENT, "it is a constant", "return J_content => return tf.constant(7.641)"),
    (CONTENT, "the TensorFlow 2 edition", "a_C, a_G): => content_output, generated_output):"),
    (CONTENT, "That is TensorFlow 2", "return J_content => return J_content.numpy()"),
    (CONTENT, "a number, not a tensor", "return J_content => return J_content.eval()"),
    (CONTENT, "not its gradient", "return J_content => return tf.constant(J_content.eval())"),
    (CONTENT, "float64", "return J_content => return tf.cast(J_content, tf.float64)"),
    (CONTENT, "returns a tuple", "return J_content => return J_content,"),
    (CONTENT, "of a stale graph", "4 * n_H => FOUR * n_H"),
    (CONTENT, "another graph", "return J_content => return FOUR"),
    (CONTENT, "They must be (a_C, a_G)", "(a_C, a_G): => (a_G):"),
    (CONTENT, "NumPy cannot compute with tensors", "tf.square( => np.sqrt("),
    (CONTENT, "slip in the name", "* total => * sum_of_squares"),
    (CONTENT, "ZeroDivisionError: division by zero", "return J_content => return 1 / 0"),
    (CONTENT, "the shape of activations", "m, n_H, n_W, n_C => n_H, n_W, n_C"),
    (CONTENT, "a_G.get_shape().as_list()", "a_G.get_shape().as_list() => a_G.shape"),
    (CONTENT, "use **", "4 * n_H * n_W * n_C => 4 * n_H ^ 2 * n_C"),
    (CONTENT, "use **", "tf.square( => (lambda x: x ^ 2)("),
    (CONTENT, "use tf.reduce_sum", "tf.reduce_sum( => np.sum("),
    (CONTENT, "the images are multiplied", "tf.square(tf.subtract => (tf.multiply"),
    (CONTENT, "the right value times n_C.", " * n_C) * total => ) * total"),
    (CONTENT, "the right value times n_H * n_W.", "4 * n_H * n_W * n_C => 4 * n_C"),
    (CONTENT, "tf.reduce_sum(a)", "tf.reduce_sum => tf.sum"),
    (CONTENT, "sum by tf.reduce_sum", "tf.reduce_sum => sum"),
    (CONTENT, "not its gradient", "return J_content => return tf.stop_gradient(J_content)"),
    (
        CONTENT,
        "not its gradient",
        "return J_content => return tf.stop_gradient(J_content) + 0 * tf.reduce_sum(a_G)",
    ),
    (
        CONTENT,
        "the right value times n_W**2 * n_C**2.",
        "(4 * n_H * n_W * n_C) => 4 / n_H * n_W * n_C",
    ),
    (CONTENT, "Put tf. before it", "tf.reduce_sum => reduce_sum"),
    (
        CONTENT,
        "takes one tensor",
        "tf.subtract(a_C_unrolled, a_G_unrolled)) => a_C), tf.square(a_G)",
    ),
    # what comes from TensorFlow's and NumPy's ways with types
    (CONTENT, "a number, not a tensor", "return J_content => return np.float16(3.0)"),
    (CONTENT, "a number, not a tensor", "return J_content => return np.array(J_content)"),
    (
        CONTENT,
        "once too often. Take tf.reduce_sum, and look for a square too many in the fraction",
        "n_H * n_W * n_C) => (n_C * n_H * n_W)**2)",
    ),
    (CONTENT, "n_C / (n_H + n_W + n_C).", "4 * n_H * n_W * n_C => 4 * (n_H + n_W + n_C)"),
    (CONTENT, "n_C / (4 * n_H + n_W + n_C).", "4 * n_H * n_W * n_C => 4 * n_H + n_W + n_C"),
    (CONTENT, "use a_G.get_shape().as_list()", "get_shape().as_list() => get_shape()"),
    (
        CONTENT,
        "use a_G.get_shape().as_list()",
        "get_shape().as_list() => get_shape()",
        "1 / (4 * n_H * n_W * n_C) * total => total / (4 * n_H * n_W * n_C)",
    ),
    (
        CONTENT,
        "use a_G.get_shape().as_list()",
        "get_shape().as_list() => get_shape()",
        "1 / (4 => 1 // (4",
    ),
    (CONTENT, "// rounds down", "1 / (4 * n_H * n_W * n_C) * total => total // (4 * n_H * n_W)"),
    (CONTENT, "arguments of the call", "a_C, [n_H * n_W, n_C] => a_C, [n_H * n_W, n_C], 3, 4"),
    (CONTENT, "keys of that dictionary", "4 * n_H => {'x': 4}['y'] * n_H"),
    (
        CONTENT,
        "not its gradient",
        "return J_content => return 3 * J_content - 2 * tf.stop_gradient(J_content)",
    ),
    # Gram matrix
    (GRAM, "TensorFlow has tf.transpose(A)", "tf.transpose(A) => A.transpose()"),
    (GRAM, "TensorFlow has tf.transpose(A)", "tf.transpose(A) => A.T"),
    (GRAM, "tf.matmul(A, B)", "tf.matmul(A, tf.transpose(A)) => A.dot(tf.transpose(A))"),
    (GRAM, "the right value times 0.5.", "return GA => return GA / 2"),
    (GRAM, "the right value times 0.3333.", "return GA => return GA / 3"),
    (GRAM, "the wrong side", "A, tf.transpose(A) => tf.transpose(A), A"),
    (GRAM, "the product is elementwise", "tf.matmul(A, tf.transpose(A)) => A * A"),
    (GRAM, "a reshape, not the transpose", "tf.transpose(A) => tf.reshape(A, A.shape[::-1])"),
    (GRAM, "Compare the .shape", "tf.transpose(A) => A"),
    (
        GRAM,
        "its shape is (). It should be (6, 6)",
        "tf.matmul(A, tf.transpose(A)) => tf.reduce_sum(A * A)",
    ),
    (
        GRAM,
        "its shape is (6,). It should be (6, 6)",
        "tf.matmul(A, tf.transpose(A)) => tf.reduce_sum(A * A, axis=1)",
    ),
    (GRAM, "the mean is subtracted", "GA = => A -= tf.reduce_mean(A, 1, keepdims=True); GA ="),
    (GRAM, "the rows are normalized", "GA = => A = tf.nn.l2_normalize(A, 1); GA ="),
    (GRAM, "the right value times 1 / (n_H*n_W).", "return GA => return GA / A.shape.as_list()[1]"),
    (GRAM, "return is missing", "return GA => GA"),
    (GRAM, "its sign is wrong", "return GA => return -GA"),
    (CONTENT, "its sign is wrong", "return J_content => return -J_content"),
    (
        CONTENT,
        "the difference is not squared",
        "tf.square(tf.subtract( => tf.negative(tf.subtract(",
    ),
    (CONTENT, "the right value times n_W / n_H.", "4 * n_H * n_W => 4 * n_H * n_H"),
    (GRAM, "a NumPy array of shape (16, 16), not a tensor", "return GA => return GA.eval()"),
    (GRAM, "It should be (6, 6)", "return GA => return GA[:2]"),
    (GRAM, "It should be (6, 6)", "return GA => return tf.constant(np.ones((3, 3), 'f'))"),
    (GRAM, "not known here", "return GA => return GA + A[0, 0]"),
    # style cost of one layer
    (LAYER, "reshape without transpose", SCRAMBLE_S, SCRAMBLE_G),
    (LAYER, "Run the cell that defines it", "gram_matrix(a_G) => grammatrix(a_G)"),
    (LAYER, "the images are unrolled differently", SCRAMBLE_G),
    (LAYER, "the wrong side", "tf.transpose( => ("),
    (LAYER, "Compare the .shape", "a_G = tf.transpose( => a_G = ("),
    (LAYER, "the right value times 4.", "4 * n_C => n_C"),
    (LAYER, "the right value times n_C.", "n_C**2 => n_C"),
    (LAYER, "the right value times n_H * n_W.", "(n_H * n_W)**2 => (n_H * n_W)"),
    (LAYER, "the right value times n_H * n_W * n_C.", "**2 => "),
    (LAYER, "value times 0.25.", "(4 * n_C**2 * (n_H * n_W)**2) => (4 * n_C * n_H * n_W)**2"),
    (LAYER, "the right value times n_C**2.", "n_C**2 * => "),
    (LAYER, "the right value times n_H**2 * n_W**2.", "* (n_H * n_W)**2 => "),
    (LAYER, "times 4 * n_H**2 * n_W**2 * n_C**2.", "1 / (4 * n_C**2 * (n_H * n_W)**2) * => "),
    (LAYER, "the mean, not the sum", "reduce_sum => reduce_mean"),
    (LAYER, "it is halved once too often", "tf.reduce_sum(tf.square( => tf.nn.l2_loss(("),
    (
        LAYER,
        "the right value times n_H**4 * n_W**4 * n_C**4.",
        "1 / (4 * n_C**2 * (n_H * n_W)**2) => 1 / 4 * (n_C * n_H * n_W)**2",
    ),
    (LAYER, "the difference is not squared", "tf.square => "),
    (LAYER, "the images are added", "subtract => add"),
    (LAYER, "reshape mixes the channels, which", "[n_H * n_W, n_C] => [n_C, n_H * n_W]"),
    (
        LAYER,
        "once too often, and the result is multiplied by 4. Take",
        "tf.reduce_sum => tf.reduce_mean",
        "4 * n_C => n_C",
    ),
    (LAYER, "activations, not Gram matrices", "gram_matrix => "),
    (LAYER, "the Gram matrix of a difference", "GS, GG => gram_matrix(a_S - a_G), 0."),
    (LAYER, "it is always 0", "gram_matrix(a_G) => gram_matrix(a_S)"),
    (LAYER, "only one of the two images", "tf.subtract(GS, GG) => GS"),
    (LAYER, "it is a constant", "return J_style_layer => return tf.constant(14.01649)"),
    (
        LAYER,
        "the channels, and the result is multiplied by n_C.",
        SCRAMBLE_S,
        SCRAMBLE_G,
        "n_C**2 => n_C",
    ),
    (LAYER, "use **", "n_C**2 * (n_H * n_W)**2 => n_C^2 * (n_H * n_W)^2"),
    (LAYER, "the right value times n_H.", "(n_H * n_W)**2 => n_H * n_W**2"),
    (
        LAYER,
        "the right value times 1 / n_H**2 / n_W**2.",
        "gram_matrix(a_S) => gram_matrix(a_S) / (n_H * n_W)",
        "gram_matrix(a_G) => gram_matrix(a_G) / (n_H * n_W)",
    ),
    (LAYER, "the .shape of each tensor", "[n_H * n_W, n_C] => [n_H, n_W * n_C]"),
    (LAYER, "the right value times 0.25 * n_H * n_W * n_C.", "**2 => *2"),
    (LAYER, "take no tf. before them", "gram_matrix(a_S) => tf.gram_matrix(a_S)"),
    (LAYER, "gram_matrix takes a matrix", "[n_H * n_W, n_C] => [m, n_H * n_W, n_C]"),
    (
        LAYER,
        "Reshape to [n_H*n_W, n_C], without m",
        "tf.transpose(tf.reshape(a_S, [n_H * n_W, n_C])) => "
        "tf.transpose(tf.reshape(a_S, [m, n_H * n_W, n_C]), [0, 2, 1])",
    ),
    (
        LAYER,
        "in int32, which overflows",
        "1 / (4 * n_C**2 * (n_H * n_W)**2) * total => "
        "total / tf.cast(4 * tf.square(n_C) * tf.square(n_H * n_W), tf.float32)",
    ),
    (LAYER, "n_C**2 / (n_H + n_W + n_C)**2.", "n_C**2 * (n_H * n_W)**2 => (n_H + n_W + n_C)**2"),
    (LAYER, "take the dimensions from a_G", "a_G.get_shape() => a_S.get_shape()"),
    # style cost of all layers
    (STYLE, "use model[layer_name]", "model[layer_name] => model.layer_name"),
    (STYLE, "in the order (a_G, a_S)", "cost(a_S, a_G) => cost(a_G, a_S)"),
    (STYLE, "its own session", "sess.run(out) => tf.Session().run(out)"),
    (
        STYLE,
        "coeff again in each pass",
        "J_style += coeff * J_style_layer => J_style = (J_style + J_style_layer) * coeff",
    ),
    (
        STYLE,
        "0.2, or a mean, is used instead",
        "coeff *  => ",
        "return J_style => return J_style / 5",
    ),
    (STYLE, "only these count: [2 3 4 5]", "in STYLE_LAYERS => in STYLE_LAYERS[1:]"),
    (STYLE, "the layers' weights are forgotten", "coeff *  => "),
    (STYLE, "of the 5 layers only these count: [5]", "+= => ="),
    (STYLE, "only these count: [1]. Add (+=) in a loop over all", "    return =>         return"),
    (STYLE, "a_S is not run", "sess.run(out) => out"),
    (STYLE, "a_G is run", "a_G = out => a_G = a_S"),
    (STYLE, "0.2, or a mean, is used instead", "coeff * => 0.2 *"),
    (STYLE, "divided by the number of layers", "return J_style => return J_style / len(model)"),
    (STYLE, "weights are added, not multiplied", "coeff * => coeff +"),
    (STYLE, "J_style does not start at 0", "J_style = 0 => J_style = 1"),
    (STYLE, "take model[layer_name]", "model[layer_name] => model['conv4_2']"),
    (STYLE, "a number, not a tensor", "return J_style => return sess.run(J_style)"),
    (STYLE, "the TensorFlow 2 edition", "(model, => (style_image_output, generated_image_output,"),
    (STYLE, "required argument: 'a_G'. Compare", "(a_S, a_G) => (a_S)"),
    (STYLE, "loop over its pairs", "layer_name, coeff in => coeff, layer_name in"),
    (STYLE, "tensors and operations, not names", "sess.run(out) => sess.run(layer_name)"),
    (STYLE, "of the 5 layers only these count: [1 2 3]", "in STYLE_LAYERS => in STYLE_LAYERS[:3]"),
    (STYLE, "STYLE_LAYERS is a list", "in STYLE_LAYERS => in STYLE_LAYERS.items()"),
    (STYLE, "STYLE_LAYERS is a list", "layer_name, coeff in => layer_name in"),
    (STYLE, "STYLE_LAYERS is a list", "layer_name, coeff in => a, b, c in"),
    (STYLE, "conv4_1, conv4_2, conv4_3, conv4_4", "model[layer_name] => model['relu4_2']"),
    (STYLE, "arguments of the call", "(a_S, a_G) => (a_S, a_G, coeff)"),
    (STYLE, "the right value times 1e-25.", "return J_style => return 1e-25 * J_style"),
    (STYLE, "not its gradient", "return J_style => return tf.stop_gradient(J_style)"),
    # total cost
    (
        TOTAL,
        "it is beta * J_content + alpha * J_style",
        "alpha * J => beta * J",
        "+ beta => + alpha",
    ),
    (
        TOTAL,
        "its def line must say alpha=10, beta=40",
        "alpha = 10, beta = 40 => alpha = 40, beta = 10",
    ),
    (TOTAL, "it is 1 * J_content + beta * J_style", "alpha *  => "),
    (TOTAL, "it is alpha * J_content + 1 * J_style", "beta *  => "),
    (TOTAL, "it is 1 * J_content + 1 * J_style", "alpha *  => ", "beta *  => "),
    (TOTAL, "it is alpha * J_content + -beta * J_style", " +  =>  - "),
    (TOTAL, "the products are multiplied", " +  =>  * "),
    (TOTAL, "it is (alpha + beta) * J_content + 0 * J_style", "beta * J_style => beta * J_content"),
    (TOTAL, "it is alpha * J_content + 0 * J_style", "+ beta * J_style => "),
    (TOTAL, "it is divided by alpha + beta", "return J => return J / (alpha + beta)"),
    (TOTAL, "it is 10 * J_content + 40 * J_style", "alpha *  => 10 * ", "beta *  => 40 * "),
    (TOTAL, "a number, not a tensor", "return J => return 35.34667875478276"),
    (TOTAL, "return is missing", "return J => print(J)"),
    (TOTAL, "a number, not a tensor", "return J => return 5 if tf.is_tensor(J) else J"),
    (TOTAL, "They must be", "alpha = 10, beta = 40 => alpha"),
    (TOTAL, "in this order", "J_content, J_style, alpha => J_style, J_content, alpha"),
    (TOTAL, "its comment names. J is alpha * J_content", "return J => return J ** 2"),
    (TOTAL, "it is 10 * J_content + beta * J_style", "alpha *  => 10 * "),
    (TOTAL, "// rounds down", "alpha * => alpha // 10 *"),
    (TOTAL, "not its gradient", "alpha * J_content => alpha * tf.stop_gradient(J_content)"),
    (TOTAL, "a number, not a tensor", "return J => return np.array(J)"),
    # training
    (
        MODEL,
        "Either the initializer, assign or return is inside the loop",
        "        sess.run(train => "
        "        sess.run(tf.global_variables_initializer()); sess.run(train",
    ),
    (MODEL, "not what that many steps make", "input_image)) => input_image + 1))"),
    (
        MODEL,
        "its own session",
        "    sess.run(tf.global => "
        "    sess = tf.Session(); sess.run(tf.no_op()) if 0 else sess.run(tf.global",
    ),
    (MODEL, "assign did not run", "sess.run(model['input'].assign => (model['input'].assign"),
    (MODEL, "train_step did not run", "sess.run(train_step) => train_step"),
    (
        MODEL,
        "assign did not run, and train_step did not run",
        "sess.run(model['input'].assign => (model['input'].assign",
        "sess.run(train_step) => train_step",
    ),
    (MODEL, "sess.run the initializer", "sess.run(tf.global_variables_initializer()) => "),
    (MODEL, "sess.run the initializer", "sess.run(tf.global => (tf.global"),
    (MODEL, "the image from before the loop is returned", "return generated_ => return input_"),
    (
        MODEL,
        "only one step counts",
        "    save_image('output/generated_image.jpg', generated_image)\n => ",
        "    return generated_image =>         return generated_image",
    ),
    (
        MODEL,
        "only one step counts",
        "sess.run(train => model['input'].load(input_image, sess); sess.run(train",
    ),
    (
        MODEL,
        "the image is read before the step",
        "        sess.run(train_step)\n => ",
        "        if i =>         sess.run(train_step)\n        if i",
    ),
    (MODEL, "4 steps run, not num_iterations=3", "num_iterations): => num_iterations + 1):"),
    (MODEL, "far more steps run than num_iterations", "range(num_iterations) => range(200)"),
    (MODEL, "return is missing", "return generated_image => "),
    (
        MODEL,
        "it returns a list, not the image",
        "sess.run(model['input']) => sess.run([model['input']])",
    ),
    (MODEL, "not the image", "return generated_image => return model['input']"),
    (
        MODEL,
        "it returns a NumPy array of shape (3, 5, 3)",
        "return generated_image => return generated_image[0]",
    ),
    (MODEL, "Loop over range", "range(num_iterations) => num_iterations"),
    (MODEL, "Convert the number", "str(i) + ' => i + '"),
    (
        MODEL,
        "nor functions without ()",
        "tf.global_variables_initializer() => tf.global_variables_initializer",
    ),
    (MODEL, "A blank is still None", "sess.run(train_step) => sess.run(None)"),
    (
        MODEL,
        "assign or return is inside the loop",
        "        sess.run(train => "
        "        sess.run(model['input'].assign(input_image)); sess.run(train",
    ),
    (
        MODEL,
        "assign runs again in each pass",
        "        if i % =>         sess.run(model['input'].assign(input_image))\n        if i %",
    ),
    (
        MODEL,
        "leave feed_dict out",
        "sess.run(train_step) => sess.run(train_step, feed_dict={model['input']: input_image})",
    ),
    (
        MODEL,
        "only sess.run(train_step) inside the loop",
        "sess.run(train_step) => sess.run(tf.train.AdamOptimizer(2.0).minimize(J))",
    ),
    (MODEL, "num_iterations=200)", "num_iterations = 200 => num_iterations"),
    (MODEL, "model has the keys input", "['input'].assign => ['inputs'].assign"),
    (
        MODEL,
        "model['input'] is a variable: assign changes",
        "sess.run(model['input'].assign(input_image)) => model['input'] = input_image",
    ),
    (MODEL, "slip in the name", "input_image)) => noise))"),
    (
        MODEL,
        "assign changes, sess.run reads it",
        "'].assign(input_image)) => ']).assign(input_image)",
    ),
    (
        MODEL,
        "Assign input_image, the argument",
        "assign(input_image) => assign(np.zeros((1, 300, 400, 3)))",
    ),
]


def wrong_source(function, edits):
    """Apply the edits of one row of WRONG to the solution."""
    source = SOLUTION[function]
    for edit in edits:
        old, new = edit.split(" => ")
        assert old in source, f"{function} has no {old!r}"
        source = source.replace(old, new)
    return source


NOTEBOOK = [  # the cells around SOLUTION, in the form of 2018
    """
import os
import scipy.misc
import matplotlib.pyplot as plt
from matplotlib.pyplot import imshow
from nst_utils import *
import numpy as np
import tensorflow as tf

%matplotlib inline
""",
    """
model = load_vgg_model("pretrained-model/imagenet-vgg-verydeep-19.mat")
print(model)
content_image = scipy.misc.imread("images/louvre.jpg")
imshow(content_image)
""",
    *SOLUTION,
    """
STYLE_LAYERS = [
    ('conv1_1', 0.2), ('conv2_1', 0.2), ('conv3_1', 0.2), ('conv4_1', 0.2), ('conv5_1', 0.2)]
""",
    """
tf.reset_default_graph()
with tf.Session() as test:
    np.random.seed(3)
    J_content = np.random.randn()
    J_style = np.random.randn()
    J = total_cost(J_content, J_style)
    print("J = " + str(J))
""",
    """
tf.reset_default_graph()
sess = tf.InteractiveSession()
content_image = scipy.misc.imread("images/louvre_small.jpg")
content_image = reshape_and_normalize_image(content_image)
style_image = scipy.misc.imread("images/monet.jpg")
style_image = reshape_and_normalize_image(style_image)
generated_image = generate_noise_image(content_image)
imshow(generated_image[0])
model = load_vgg_model("pretrained-model/imagenet-vgg-verydeep-19.mat")
""",
    """
sess.run(model['input'].assign(content_image))
out = model['conv4_2']
a_C = sess.run(out)
a_G = out
J_content = compute_content_cost(a_C, a_G)
sess.run(model['input'].assign(style_image))
J_style = compute_style_cost(model, STYLE_LAYERS)
J = total_cost(J_content, J_style, alpha = 10, beta = 40)
optimizer = tf.train.AdamOptimizer(2.0)
train_step = optimizer.minimize(J)
""",
    """
model_nn(sess, generated_image)
""",
]


def course_notebook(*edits, **functions):
    """Make a notebook of 2018 with these functions, and with "old => new" edits of its cells."""
    sources = [functions.get(cell, SOLUTION.get(cell, cell)) for cell in NOTEBOOK]
    for edit in edits:
        old, new = edit.split(" => ")
        assert any(old in source for source in sources), f"no cell has {old!r}"
        sources = [source.replace(old, new) for source in sources]
    return new_notebook(cells=[new_code_cell(source.strip()) for source in sources])
