"""Jobs for the workers of a Dask cluster."""

import logging
import sys
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from itertools import islice

JOBS_PER_WORKER = 2  # submitted at a time: thousands of photos would fill the scheduler's memory


def connect(scheduler):
    """Return a distributed.Client of the Dask scheduler at an address.

    Raises ModuleNotFoundError if Dask is missing, OSError if no scheduler answers.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "--scheduler needs dask.distributed, which is not installed: "
            f"run {sys.executable} -m pip install distributed"
        ) from None
    # lost connections appear in the results table, so silence the tracebacks
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        return Client(scheduler)
    except (OSError, ValueError) as error:
        raise OSError(
            f"no Dask scheduler answers at {scheduler} ({error}): start one with dask scheduler"
        ) from None


def run_jobs(client, function, jobs):
    """Run jobs on the cluster; yield (name, function that returns the result) as each finishes.

    Dask repeats a job on a different worker if its worker dies. A result function raises
    RuntimeError if the workers or the scheduler were lost, or whatever the job raised.

    Arguments:
    client -- distributed.Client of the cluster
    function -- what a worker does
    jobs -- iterable of (name, *arguments of the function)
    """
    from distributed import as_completed

    if not client.nthreads():
        print("no workers yet, waiting: nst gallery --help says how to start one", flush=True)
        client.wait_for_workers(1)
    jobs, names, running = iter(jobs), {}, as_completed()

    def submit_more():
        with suppress(OSError):  # if the scheduler is lost, each running job reports it
            wanted = JOBS_PER_WORKER * max(1, len(client.nthreads())) - len(names)
            for name, *arguments in islice(jobs, max(0, wanted)):
                future = client.submit(function, *arguments, pure=False)
                names[future] = name
                running.add(future)

    submit_more()
    for future in running:
        yield names.pop(future), partial(_result, future)
        submit_more()


def _result(future):
    from distributed import KilledWorker

    try:
        return future.result()
    except CancelledError:
        raise RuntimeError(
            "the Dask scheduler was lost: run the same command again when it is back"
        ) from None
    except KilledWorker:
        raise RuntimeError("every worker that painted it died: is there enough memory?") from None
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"a worker cannot import the project ({error}): start it in the project's folder with "
            "PYTHONPATH=."
        ) from None
