"""Jobs on the workers of a dask cluster, of one machine or of many. Dask schedules; a worker does one at a time."""

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from napari_pix2pix.commands.events import Event, Events, warnings_as_events
from napari_pix2pix.core.settings.running import TURN
from napari_pix2pix.files.outputs import Job

CONNECT_S = 30
"""How long a scheduler may take to answer."""
ONE_AT_A_TIME = threading.Lock()
"""A worker may have several threads, but has one model."""


def on_workers(
    do: Callable[[list[Job]], Iterable[Event]],
    fail: Callable[[Job, Exception], Iterable[Event]],
    jobs: list[Job],
    workers: str | int,
) -> Events:
    """What `do` says of each job, in the order in which workers finish them, but no progress within a job.

    A job whose worker is killed goes to another. Workers must see the same files by the same paths.

    Parameters
    ----------
    do
        Does jobs; can be pickled.
    fail
        What is to be said of a job that killed every worker that tried it.
    jobs
        Each goes to one worker.
    workers
        Those of the scheduler with this address; or how many processes to start on this machine.

    Raises
    ------
    ValueError
        If dask.distributed is not installed, or the number is below 1.
    ConnectionError
        If the scheduler cannot be reached, or goes away.
    """
    try:
        import distributed
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise ValueError(
            "Workers must have dask.distributed, which is not installed. "
            "Give: pip install 'napari-pix2pix[cluster]'; or leave `scheduler` and `local_workers` out."
        ) from error
    with _connected(workers) as client:
        if not client.scheduler_info()["workers"]:
            yield {"event": "note", "text": f"The scheduler at {workers} has no workers yet; they are waited for."}
        futures = client.map(partial(_there, do, Path.cwd()), jobs, pure=False)
        job_of = {future.key: job for future, job in zip(futures, jobs, strict=True)}
        for future in distributed.as_completed(futures, loop=client.loop):
            job = job_of[future.key]
            try:
                events = future.result()
            except distributed.KilledWorker as error:
                told = f"Its workers must live until it is done; {error.allowed_failures + 1} died at it."
                events = fail(job, RuntimeError(f"{told} Perhaps their memory does not suffice; see their logs."))
            except (distributed.CancelledError, CommClosedError) as error:
                raise ConnectionError(
                    "The scheduler must stay until all is done; it has gone. Give the command again; what is done is "
                    "kept."
                ) from error
            for event in events:
                if event["event"] == "warning":
                    warnings.warn(event["text"], stacklevel=1)  # like one of this process: told once
                else:
                    yield event


@contextmanager
def _connected(workers: str | int) -> Iterator[Any]:
    """A client of the scheduler at this address, or of a cluster of so many processes that ends with the block."""
    import dask
    from distributed import Client, LocalCluster

    _quiet()
    with contextlib.ExitStack() as opened:
        if isinstance(workers, str):
            try:
                client = Client(workers, timeout=CONNECT_S, set_as_default=False)
            except (OSError, ValueError) as error:
                raise ConnectionError(
                    f"A dask scheduler must answer at {workers}; none does. Start it, or check `scheduler`."
                ) from error
        else:
            if workers < 1:
                raise ValueError(f"There must be at least 1 local worker; got {workers}.")
            threads = os.environ.get("OMP_NUM_THREADS", f"{max(1, (os.cpu_count() or 1) // workers)}")
            # No file waits at a busy worker, whose death would count against it, too.
            with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=0,  # dask's own would stop workers that hold nothing of dask's
                    dashboard_address="127.0.0.1:0",
                    silence_logs="CRITICAL",
                    preload=[__name__],
                    env={"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
                )
            client = Client(opened.enter_context(cluster), set_as_default=False)
        yield opened.enter_context(client)


def dask_setup(worker: Any) -> None:
    """Called by dask when a worker of this machine starts: Ctrl-C is for the command, which ends its workers.

    Each takes a GPU of its own, where there are several and no other was asked for.
    """
    os.environ[TURN] = str(worker.name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _quiet()


def _quiet() -> None:
    """What dask would log, tracebacks of its own when it is interrupted, is told in a sentence."""
    for name in ("distributed", "distributed.client", "distributed.worker", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _there(do: Callable[[list[Job]], Iterable[Event]], folder: Path, job: Job) -> list[Event]:
    """On a worker: the job is done in `folder`, to which paths are relative; warnings and events."""
    with ONE_AT_A_TIME, contextlib.chdir(folder), warnings_as_events() as warned:
        events = [event for event in do([job]) if event["event"] != "progress"]
        while not warned.empty():
            events.insert(0, warned.get())
    return events
