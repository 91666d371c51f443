"""Worker processes that never outlive who started them, one thread each."""

from __future__ import annotations

import multiprocessing.connection
import os
import threading
from concurrent.futures import Executor, ProcessPoolExecutor

ONE_THREAD = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""The work is many independent chips: a process per core, not threads within."""


def _start() -> None:
    """Set up a worker, before it imports anything large: one thread, and an end when the parent's comes, however it comes."""
    os.environ.update(ONE_THREAD)

    def follow():
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def processes(workers: int) -> Executor:
    """So many worker processes on this machine."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start)


def cluster(scheduler: str) -> Executor:
    """The workers of a Dask cluster.

    Parameters
    ----------
    scheduler : str
        Its address, such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    ConnectionError
        If nothing answers there.
    """
    try:
        from dask.distributed import Client
    except ImportError:
        raise ValueError("scheduler: needs dask; install with `pip install 'crossdyad[cluster]'`") from None
    try:
        return Client(scheduler, timeout=10).get_executor(pure=False)
    except OSError as error:
        raise ConnectionError(f"scheduler {scheduler}: does not answer ({error}); start it with `dask scheduler`, or leave --scheduler "
                              "out to work on this machine") from None


def alive(executor: Executor) -> bool:
    """Whether its workers can still be reached: a lost scheduler does not say so to those who wait for it."""
    client = getattr(executor, "_client", None)
    return client is None or client.status in ("running", "connecting")
