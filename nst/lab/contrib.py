"""The parts of `tf.contrib` that style-transfer notebooks use; TensorFlow 2 has no tf.contrib."""

from types import ModuleType

import numpy as np
import scipy.optimize

from nst.core.tensorflow import import_tensorflow

tf = import_tensorflow()

SUCCESSORS = {
    "slim": "install tf_slim and import it",
    "rnn": "use tf.nn.rnn_cell",
    "learn": "use tf.estimator or Keras",
    "image": "use tf.image",
    "data": "use tf.data",
    "eager": "use tf.compat.v1",
}


class _Contrib(ModuleType):
    def __getattr__(self, name):
        advice = SUCCESSORS.get(name, "use its successor in TensorFlow 2, or Keras")
        raise AttributeError(f"{self.__name__}.{name} ended with TensorFlow 1: {advice}")


class ScipyOptimizerInterface:
    """`tf.contrib.opt.ScipyOptimizerInterface`: SciPy's optimizers, of which L-BFGS is the usual.

    Arguments:
    loss -- scalar tensor
    var_list -- variables to optimize, by default all trainable ones
    var_to_bounds -- dict from variable to (least, largest), numbers or arrays
    method, options -- as `scipy.optimize.minimize` takes them
    """

    def __init__(self, loss, var_list=None, var_to_bounds=None, method="L-BFGS-B", options=None):
        self._loss, self._variables = loss, list(var_list or tf.trainable_variables())
        self._gradients = tf.gradients(loss, self._variables)
        self._settings = {"method": method, "options": options}
        if var_to_bounds:
            self._settings["bounds"] = self._bounds(var_to_bounds)

    def minimize(
        self, session=None, feed_dict=None, fetches=None, step_callback=None, loss_callback=None
    ):
        """Minimize the loss; the variables have the result.

        Arguments:
        fetches -- tensors whose values `loss_callback` gets after each evaluation
        step_callback -- gets all variables, as one vector, after each step
        """
        session = session or tf.get_default_session()
        wanted = [self._loss, *self._gradients, *(fetches or [])]

        def evaluate(vector):
            self._load(vector, session)
            loss, *values = session.run(wanted, feed_dict)
            if loss_callback:
                loss_callback(*values[len(self._variables) :])
            return float(loss), _vector(values[: len(self._variables)])

        start = _vector(session.run(self._variables))
        found = scipy.optimize.minimize(
            evaluate, start, jac=True, callback=step_callback, **self._settings
        )
        self._load(found.x, session)

    def _load(self, vector, session):
        ends = np.cumsum([variable.shape.num_elements() for variable in self._variables])
        parts = np.split(vector, ends[:-1])
        for variable, part in zip(self._variables, parts, strict=True):
            variable.load(part.reshape(variable.shape.as_list()), session)

    def _bounds(self, var_to_bounds):
        sides = [
            [
                np.broadcast_to(side, variable.shape.as_list())
                for side in var_to_bounds.get(variable, (-np.inf, np.inf))
            ]
            for variable in self._variables
        ]
        return scipy.optimize.Bounds(*map(_vector, zip(*sides, strict=True)))


def _vector(arrays):
    return np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64)


def xavier_initializer(uniform=True, seed=None, dtype=tf.float32):
    """`tf.contrib.layers.xavier_initializer`."""
    name = "glorot_uniform_initializer" if uniform else "glorot_normal_initializer"
    return getattr(tf, name)(seed=seed, dtype=dtype)


def variance_scaling_initializer(factor=2.0, mode="FAN_IN", uniform=False, seed=None):
    """`tf.contrib.layers.variance_scaling_initializer`."""
    distribution = "uniform" if uniform else "truncated_normal"
    return tf.variance_scaling_initializer(factor, mode.lower(), distribution, seed)


def l1_regularizer(scale):
    """`tf.contrib.layers.l1_regularizer`."""
    return lambda weights: scale * tf.reduce_sum(tf.abs(weights))


def l2_regularizer(scale):
    """`tf.contrib.layers.l2_regularizer`."""
    return lambda weights: scale * tf.nn.l2_loss(weights)


def flatten(inputs, scope=None):
    """`tf.contrib.layers.flatten`: (m, …) -> (m, n)."""
    return tf.reshape(inputs, [-1, np.prod(inputs.shape.as_list()[1:])])


def fully_connected(
    inputs,
    num_outputs,
    activation_fn=tf.nn.relu,
    weights_initializer=None,
    biases_initializer=tf.zeros_initializer,
    scope=None,
    reuse=None,
):
    """`tf.contrib.layers.fully_connected`: (m, n_in) -> (m, num_outputs)."""
    with tf.variable_scope(scope, "fully_connected", reuse=reuse):
        shape = [inputs.shape.as_list()[-1], num_outputs]
        W = tf.get_variable("weights", shape, initializer=weights_initializer)
        outputs = tf.matmul(inputs, W)
        if biases_initializer is not None:
            outputs += tf.get_variable("biases", [num_outputs], initializer=biases_initializer())
        return outputs if activation_fn is None else activation_fn(outputs)


def contrib_modules():
    """Return the modules `tensorflow.contrib`, `.layers` and `.opt`, by name."""
    modules = {
        name: _Contrib(name)
        for name in ("tensorflow.contrib", "tensorflow.contrib.layers", "tensorflow.contrib.opt")
    }
    contrib, layers, opt = modules.values()
    contrib.layers, contrib.opt, contrib.__path__ = layers, opt, []
    opt.ScipyOptimizerInterface = ScipyOptimizerInterface
    layers.xavier_initializer_conv2d = xavier_initializer
    for function in (
        *(xavier_initializer, variance_scaling_initializer, l1_regularizer, l2_regularizer),
        *(flatten, fully_connected),
    ):
        setattr(layers, function.__name__, function)
    return modules
