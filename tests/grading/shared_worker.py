"""A worker that takes one submission after the other, so that TensorFlow is imported once."""

import os
import tempfile

from nst.grading import worker

chdir = os.chdir  # which a submission's folder turns off


class Renewable(worker.Submission):
    def renew(self, arrays):
        import tensorflow as tf

        from nst.lab.training import close_session

        close_session()
        tf.reset_default_graph()
        os.chdir = chdir
        chdir(tempfile.mkdtemp(dir=os.environ["HOME"]))
        self.__init__()
        return {}, {}


worker.Submission = Renewable
worker.main()
