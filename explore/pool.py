"""Worker processes that never outlive who started them, one thread each."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.connection
import os
import shutil
import signal
import sys
import tempfile
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor

PATIENCE = 10.0
"""Seconds that a scheduler has to answer."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PJRT_NPROC": "1", "JAX_PLATFORMS": "cpu"}
"""The work is many independent chips: a process per core, not threads within."""


def _start(compiled: str) -> None:
    """Set up a worker, before it imports anything large: one thread, compiled programs shared with the other workers, a process group for
    itself and the tools that it calls, and an end when the parent's comes, however it comes."""
    os.environ.update(ONE_THREAD, JAX_COMPILATION_CACHE_DIR=compiled, JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0.2")
    if hasattr(os, "setpgrp"):
        os.setpgrp()

    def follow():
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nobody is there to be told that the folder went away
        shutil.rmtree(compiled, ignore_errors=True)  # whoever would have, has gone
        _end(os.getpid())

    threading.Thread(target=follow, daemon=True).start()


def _end(worker: int) -> None:
    """Kill a worker and the tools that it called."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(worker, signal.SIGKILL)
        except (AttributeError, ProcessLookupError):  # no groups on this system, or it has not made its own yet
            os.kill(worker, getattr(signal, "SIGKILL", signal.SIGTERM))


@contextlib.contextmanager
def _unseen():
    """While workers start: the caller's script is not theirs to run again, and Ctrl-C is not for them."""
    main, held = sys.modules["__main__"], hasattr(signal, "pthread_sigmask")
    if held:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if held:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Processes(ProcessPoolExecutor):
    def submit(self, *task, **options) -> Future:
        with _unseen():  # a task may start a worker
            return super().submit(*task, **options)


def processes(workers: int) -> Executor:
    """So many worker processes on this machine."""
    compiled = tempfile.TemporaryDirectory(prefix="crossdyad-")
    made = _Processes(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(compiled.name,))
    weakref.finalize(made, compiled.cleanup)
    return made


def stop(executor: Executor) -> None:
    """End an executor's workers at once, whatever they are at."""
    for worker in list(getattr(executor, "_processes", None) or {}):
        _end(worker)
    if alive(executor):
        executor.shutdown(wait=hasattr(executor, "_processes"))


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back, so that it comes between two steps; a second one comes at once.

    Yields
    ------
    callable
        Lets what was held back have its way: the handler that was there is called. In another thread than the main one there is nothing
        to hold.
    """
    came: list = []
    here = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGINT) if here else None

    def note(number, frame):
        came.append((number, frame))
        if len(came) > 1:
            usual(number, frame)

    def deliver():
        if came:
            usual(*came.pop(0))

    if callable(usual):  # not ignored, as under nohup
        signal.signal(signal.SIGINT, note)
    try:
        yield deliver
    finally:
        if callable(usual):
            signal.signal(signal.SIGINT, usual)


def ready() -> bool:
    """A worker's first task: it has started."""
    return True


class Lasting:
    """Makes an executor once, and again only when its workers are gone: for runs that follow each other.

    Parameters
    ----------
    make : callable
        Makes an executor.
    """

    def __init__(self, make: Callable[[], Executor]):
        self._make, self._made = make, None

    def __call__(self) -> Executor:
        if self._made is None or getattr(self._made, "_broken", False):
            self._made = self._make()
        return self._made

    def close(self) -> None:
        if self._made is not None and alive(self._made):
            self._made.shutdown(wait=False)


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
    for name in [n for n in logging.root.manager.loggerDict if n.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # a scheduler that goes away is told in one line, by who waits for it
    try:
        return Client(scheduler, timeout=PATIENCE).get_executor(pure=False)
    except OSError as error:
        raise ConnectionError(
            f"scheduler {scheduler}: does not answer ({error}); start it with `dask scheduler`, or leave --scheduler "
            "out to work on this machine"
        ) from None


def alive(executor: Executor) -> bool:
    """Return whether its workers can still be reached: a lost scheduler does not say so to those who wait for it."""
    client = getattr(executor, "_client", None)
    return client is None or client.status in ("running", "connecting")


def width(executor: Executor, given: int) -> int:
    """Return how many tasks it does at once: of a cluster those of all its workers' threads, otherwise as given."""
    return max(1, _threads(executor)) if hasattr(executor, "_client") else given


def deserted(executor: Executor) -> bool:
    """Return whether a cluster has no workers at the moment."""
    return hasattr(executor, "_client") and _threads(executor) == 0


def _threads(executor: Executor) -> int:
    try:
        return sum(executor._client.nthreads().values())
    except OSError:
        return 0
