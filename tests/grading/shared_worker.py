"""A worker that takes one submission after the other, so that TensorFlow is imported once."""

import io
import os
import sys
import tempfile

from nst.grading import protocol, worker

chdir = os.chdir  # which a submission's folder turns off


def renew():
    import tensorflow.compat.v1 as tf

    from nst.lab.training import close_session

    close_session()
    tf.reset_default_graph()
    os.chdir = chdir
    chdir(tempfile.mkdtemp())


def main():
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BytesIO())
    while True:
        renew()
        request, _ = protocol.read(incoming)
        data = incoming.read(request.pop("size"))
        for answer in worker.examine(data, **request):
            protocol.write(outgoing, *answer)
        protocol.write(outgoing, {"done": True})


main()
