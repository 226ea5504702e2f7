"""Work for a Dask cluster: jobs handed to its workers, and what came of them."""

import logging
import sys
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from itertools import islice

LOST = "the Dask scheduler was lost: when it is back, run the same command again"
PATIENCE = 5  # seconds without a result, before it is said that a cluster has no workers


def connect(scheduler):
    """Return a distributed.Client of the Dask scheduler at an address.

    Raises ModuleNotFoundError or OSError.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "--scheduler needs dask.distributed, which is not installed: "
            f"run {sys.executable} -m pip install distributed"
        ) from None
    # a lost connection is told in the table: its tracebacks stay out
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        return Client(scheduler)
    except (OSError, ValueError) as error:
        raise OSError(
            f"no Dask scheduler answers at {scheduler} ({error}): start one with dask scheduler"
        ) from None


def as_finished(client, function, jobs):
    """Yield (name, function that returns what came of it) for each job, as they are finished.

    Dask gives a job whose worker dies to another one. As many are under way as there are workers:
    to hand over hundreds of photographs at once would only fill the scheduler's memory. Ends early
    where the scheduler is lost.

    Arguments:
    client -- distributed.Client of the cluster
    function -- what the workers are to do
    jobs -- iterator of (name, *arguments of the function)
    """
    running, workers = {}, "no workers yet"
    with suppress(OSError):  # the scheduler is lost
        while True:
            free = max(1, len(client.nthreads())) - len(running)  # nthreads: worker -> threads
            for name, *arguments in islice(jobs, max(0, free)):
                running[client.submit(function, *arguments, pure=False)] = name
            if not running:
                break
            for done in _finished(list(running), client, workers):
                workers = "no workers left"
                yield running.pop(done), partial(_result, done)


def _finished(futures, client, no_workers):
    """Wait a while for the first of the futures; return those that are finished.

    Where there is no worker to finish one, this is said, and one is waited for.
    """
    from distributed import TimeoutError, wait

    try:
        wait(futures, PATIENCE, "FIRST_COMPLETED")
    except CancelledError:  # the scheduler was lost, as each future will tell
        pass
    except TimeoutError:
        if not client.nthreads():
            print(f"{no_workers}, waiting: nst gallery --help says how to start one", flush=True)
            client.wait_for_workers(1)
    return [future for future in futures if future.done()]


def _result(future):
    from distributed import KilledWorker

    try:
        return future.result()
    except CancelledError:
        raise RuntimeError(LOST) from None
    except KilledWorker:
        raise RuntimeError("every worker that painted it died: is there enough memory?") from None
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"a worker does not find the project ({error}): "
            "start it in the project's folder with PYTHONPATH=."
        ) from None
