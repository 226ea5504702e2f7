"""A training run that can be watched, stopped and continued, around the course's own loop."""

import gc
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import imageio.v3 as imageio
import numpy as np
import psutil
from IPython.display import display

from nst.core.config import CONFIG
from nst.core.files import claimed, stored_state, whole_file
from nst.core.images import (
    check_picture_path,
    load_image,
    reshape_and_normalize_image,
    save_image,
    to_pixels,
)
from nst.core.interrupts import on_interrupt
from nst.core.progress import format_duration
from nst.core.tensorflow import import_tensorflow
from nst.lab.notebook import PROGRESS_ID
from nst.lab.stopped_run import stopped_after

tf = import_tensorflow()

_may_be_overwritten = set()  # output folders of stopped runs, once a Run has refused them


def close_session():
    """Close an interactive session that was left open, so that a new graph can be begun."""
    sess = tf.get_default_session()
    if isinstance(sess, tf.InteractiveSession):
        sess.close()


def estimate(sess, train_step, num_iterations):
    """Print what a run will take, by one measured step; then reset the image and Adam's memory."""
    if train_step is None or train_step.graph is not sess.graph:
        raise RuntimeError(
            "train_step is None or of an earlier graph: run the cells from the content cost to the "
            "optimizer first"
        )
    _the_image(sess)
    gc.collect()  # frees an earlier graph that no name refers to, and its network: 0.1 GB
    with sess.graph.as_default():  # a check cell that was run again has left another
        start = tf.global_variables_initializer()
    sess.run(start)
    sess.run(train_step)  # the first step is slower: TensorFlow allocates its memory
    begin = time.perf_counter()
    sess.run(train_step)
    seconds = time.perf_counter() - begin
    sess.run(start)
    memory = psutil.Process().memory_info().rss / 1e9
    print(
        f"{seconds:.2f} s per step and {memory:.1f} GB of memory: {num_iterations} iterations take "
        f"about {format_duration(seconds * num_iterations)}"
    )


def _the_image(sess):
    """Return the one variable that a run changes; with two networks there would be two."""
    images = sess.graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES)
    if len(images) != 1:
        raise RuntimeError(
            f"the graph holds {len(images)} networks, a run takes 1: run the cell that opens the "
            "session again, and those below it"
        )
    return images[0]


class _Stopped(BaseException):
    """Ends the training loop between two iterations; no `except Exception` catches it."""


class Run:
    """Watch a training loop, save its results, and let it be stopped and continued.

        with Run(sess, train_step, [J, J_content, J_style], num_iterations, output_dir) as run:
            model_nn(sess, generated_image, num_iterations)
        result = run.image

    The loop is the course's, unchanged: inside the block, each `sess.run` of `train_step` counts as
    an iteration, and each `sess.run` of the three costs as a report. The notebook shows the image
    as it evolves, and a progress line, which `nst run` prints on the terminal. Each report updates
    costs.csv and state.npz in the output folder.

    An interrupt (Ctrl-C, the notebook's stop button) ends the loop after the current iteration, a
    second one immediately. With `resume` the iterations in state.npz are not computed again; the
    loop gets their costs and images from the files.

    Arguments:
    sess -- session of the costs and of the optimizer
    train_step -- operation that makes one step
    costs -- tensors of the total, the content and the style cost
    num_iterations -- number of iterations that the loop will make
    output_dir -- folder for the files, by default CONFIG.OUTPUT_DIR; no other process may use it
        at the same time
    resume -- True continues from state.npz
    """

    def __init__(
        self,
        sess,
        train_step,
        costs,
        num_iterations=200,
        output_dir=None,
        resume=False,
    ):
        self.num_iterations = num_iterations
        self.output_dir = Path(CONFIG.OUTPUT_DIR if output_dir is None else output_dir)
        self._sess, self._train_step, self._costs = sess, train_step, list(costs)
        self._resume = resume
        self._first = 0  # first iteration that is computed, not replayed
        self._iteration = -1
        self._history = {}  # iteration -> costs
        self._seconds = 0.0  # per iteration, the first (slower: TensorFlow warms up) left out
        self._stopping = False
        self._picture = self._line = None

    @property
    def image(self):
        """The image as it is now, (1, height, width, 3), normalized."""
        return self._session_run(self._image)

    # --- the block ---

    def __enter__(self):
        self._image = _the_image(self._sess)
        self._check_costs()
        if self.num_iterations < 1:
            raise ValueError(f"num_iterations is {self.num_iterations}: ask for 1 or more")
        if not self._resume:
            self._refuse_to_overwrite()
        with ExitStack() as stack:
            stack.enter_context(claimed(self.output_dir))
            check_picture_path(self.output_dir / "0.png")  # before hours of work, not after
            self._session_run = self._sess.run
            # a check cell that was run again has left a different default graph
            stack.enter_context(self._sess.graph.as_default())
            self._nothing = tf.no_op()
            self._state = self._read_state() if self._resume else None
            stack.enter_context(on_interrupt(self._stop))
            self._sess.run = self._watched_run
            stack.callback(setattr, self._sess, "run", self._session_run)
            self._stack = stack.pop_all()
        return self

    def _refuse_to_overwrite(self):
        """Refuse, once, to overwrite a run that was stopped."""
        last = stopped_after(self.output_dir)
        if last is None or self.output_dir in _may_be_overwritten:
            return
        _may_be_overwritten.add(self.output_dir)
        raise ValueError(
            f"this would overwrite the run that was stopped after iteration {last}: to continue "
            "it, set RESUME = True in the settings cell, run it, then this cell; to start again, "
            "run this cell once more"
        )

    def _check_costs(self):
        """Refuse costs that are not scalar tensors."""
        if not all(map(tf.is_tensor, self._costs)):  # a check cell has given their names to numbers
            raise RuntimeError(
                "the costs are not all tensors: run the cells from the session to the optimizer "
                "again"
            )
        for name, cost in zip(("J", "J_content", "J_style"), self._costs, strict=False):
            if cost.shape.rank:
                raise ValueError(
                    f"{name} has the shape {cost.shape}, a cost is one number: correct it, and run "
                    "the cells from the session to the optimizer again"
                )

    def __exit__(self, kind, error, traceback):
        with self._stack:
            if kind is _Stopped:
                self._save_state(self._iteration, stopped=True)
                _may_be_overwritten.discard(self.output_dir)
                save_image(self.output_dir / "generated_image.jpg", self.image)
                print(
                    f"Stopped after iteration {self._iteration}, the picture is saved. To continue "
                    "from here: set RESUME = True in the settings cell, run it, then this cell"
                )
                return True
            if kind is None and self._iteration >= 0:
                self._save_state(self._iteration)  # for a later run of more iterations
            elif kind is None and not self._state:
                raise RuntimeError(
                    "no step was made: let the loop run sess.run(train_step), the operation that "
                    "optimizer.minimize(J) returned"
                )
        if "is not an element of this graph" in str(error):
            raise RuntimeError(
                "the costs or the optimizer belong to an earlier graph: run the cells from the "
                "session to the optimizer again"
            ) from None
        return False

    def _stop(self, *_):
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True

    # --- the session's run method, as the loop calls it ---

    def _watched_run(self, fetches, *args, **kwargs):
        """Take the place of `sess.run`."""
        wanted = tf.nest.flatten(fetches)
        steps = any(fetch is self._train_step for fetch in wanted)
        if steps:
            self._begin_iteration()
        if self._iteration < self._first:
            return self._replay(fetches, *args, **kwargs)
        values = self._session_run(fetches, *args, **kwargs)
        if steps:
            counted = self._iteration - self._first
            if counted:
                self._seconds = (time.perf_counter() - self._clock) / counted
                self._show_line()  # of the first iteration, as soon as its costs are known
        elif _same(wanted, [self._image]) and not np.all(np.isfinite(values)):
            self._report(self._session_run(self._costs))
        elif _same(wanted, self._costs):
            self._report(tf.nest.flatten(values))
        return values

    def _begin_iteration(self):
        if self._iteration < 0 and self._state:
            self._restore()
        if self._stopping and self._iteration >= self._first:
            raise _Stopped
        self._iteration += 1
        if self._iteration == self._first + 1:
            self._clock = time.perf_counter()

    def _replay(self, fetches, *args, **kwargs):
        """Return the stored costs and image of an iteration of an earlier run; compute nothing."""
        wanted = tf.nest.flatten(fetches)
        if _same(wanted, self._costs) and self._iteration in self._history:
            # float32, as the session returns them, so that they print in the same way
            costs = map(np.float32, self._history[self._iteration])
            return tf.nest.pack_sequence_as(fetches, list(costs))
        if _same(wanted, [self._image]) and self._iteration in self._history:
            return self._saved_image()
        without_step = tf.nest.map_structure(
            lambda fetch: self._nothing if fetch is self._train_step else fetch, fetches
        )
        return self._session_run(without_step, *args, **kwargs)

    def _saved_image(self):
        """Read the picture of an earlier iteration; the loop may save it again."""
        height, width = self._image.shape.as_list()[1:3]
        path = self.output_dir / f"{self._iteration}.png"
        if not path.exists():
            return self.image
        return reshape_and_normalize_image(load_image(path, height, width), height, width)

    # --- reports ---

    def _report(self, costs):
        """Keep and show the costs of this iteration, and its picture."""
        for name, cost in zip(("style", "content", "total"), reversed(costs), strict=True):
            if cost < 0 and name != "total":
                raise ValueError(
                    f"the {name} cost is {cost}, but a sum of squares is never negative: check its "
                    "factor, whose product of integers may be too large for int32"
                )
            if not np.isfinite(cost):
                last = max(self._history, default=None)
                good = "none" if last is None else self.output_dir / f"{last}.png"
                raise FloatingPointError(
                    f"the {name} cost is {cost} after iteration {self._iteration}, the last good "
                    f"picture is {good}: start again with a smaller learning rate"
                )
        if not self._history:
            self._check_weights()
        self._history[self._iteration] = [float(cost) for cost in costs]
        rows = [(i, *costs) for i, costs in self._history.items()]
        with whole_file(self.output_dir / "costs.csv") as file:
            header = "iteration,total,content,style"
            np.savetxt(file, rows, "%.6g", ",", header=header, comments="")
        self._save_state(self._iteration)
        jpeg = imageio.imwrite("<bytes>", to_pixels(self.image), extension=".jpg", quality=85)
        self._picture = _display(self._picture, {"image/jpeg": jpeg, "text/plain": "the picture"})
        self._show_line()

    def _show_line(self):
        line = f"iteration {self._iteration + 1}/{self.num_iterations}"
        if self._history:
            costs = list(self._history.values())[-1]
            line += "   total {:.4g}   content {:.4g}   style {:.4g}".format(*costs)
        if self._seconds:
            left = (self.num_iterations - self._iteration - 1) * self._seconds
            line += f"   {self._seconds:.2f} s/iteration   {format_duration(left)} left"
        self._line = _display(self._line, {"text/plain": line}, PROGRESS_ID)

    # --- state.npz, from which a later run continues ---

    def _save_state(self, iteration, stopped=False):
        """Write the image, Adam's memory, and the costs so far."""
        values = self._session_run({v.op.name: v for v in self._variables()})
        values |= {"iteration": iteration, "costs": self._fingerprint(), "stopped": stopped}
        values["history"] = [(i, *costs) for i, costs in self._history.items()]
        with whole_file(self.output_dir / "state.npz") as file:
            np.savez(file, **values)

    def _fingerprint(self):
        """Return the image's three costs, and the weights of content and style in the total.

        They differ between runs with different pictures, layers or weights; the total alone would
        hide alpha.
        """
        return [*self._session_run(self._costs), *self._weights()]

    def _weights(self):
        """Return the weights of the content and of the style cost in the total."""
        total, content, style = self._costs
        return [self._session_run(total, {content: c, style: 1 - c}) for c in (1, 0)]

    def _check_weights(self):
        """Print the weights if the content has the larger one, as after a mix-up."""
        alpha, beta = self._weights()
        if not 0 < alpha <= beta:
            print(
                f"Note: J is {alpha:g} J_content + {beta:g} J_style; the assignment has 10 and 40"
            )

    def _variables(self):
        return self._sess.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)

    def _read_state(self):
        path = self.output_dir / "state.npz"
        with stored_state(path, "set RESUME = False") as state:
            first = int(state["iteration"]) + 1
            state["history"] = state["history"].reshape(-1, 4)
            state["costs"] = state["costs"].reshape(5)
            if first < 1:
                raise ValueError
        if first >= self.num_iterations:
            raise ValueError(
                f"{path} is from a run that finished its {first} iterations: set RESUME = False, "
                "or ITERATIONS higher"
            )
        return state

    def _restore(self):
        """Restore the state, if it is from a run like this one."""
        path = self.output_dir / "state.npz"
        variables = self._variables()
        try:
            if len(self._state) != 4 + len(variables):  # two optimizers, and one of them unused
                raise KeyError
            for variable in variables:
                variable.load(self._state[variable.op.name], self._sess)
        except (KeyError, ValueError):
            raise ValueError(
                f"{path} is from a run with a different size or optimizer: set RESUME = False"
            ) from None
        if not np.allclose(self._fingerprint(), self._state["costs"], rtol=0.02):
            raise ValueError(
                f"{path} is from a run with different pictures or settings: use the same ones, or "
                "set RESUME = False"
            )
        self._first = int(self._state["iteration"]) + 1
        self._history = {int(i): costs for i, *costs in self._state["history"].tolist()}


def _same(tensors, others):
    """Return whether two lists hold the same tensors."""
    return len(tensors) == len(others) and all(map(lambda a, b: a is b, tensors, others))


def _display(handle, data, prefix=""):
    """Show data by MIME type, in place of what the handle showed before; return the handle."""
    if handle is None:
        return display(data, raw=True, display_id=prefix + uuid4().hex)
    handle.update(data, raw=True)
    return handle
