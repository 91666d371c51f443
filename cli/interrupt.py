"""Interruptions that end a command within seconds, also while compiled code runs, which Python cannot interrupt."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

GRACE = 4.0
"""Seconds from a signal until the process is ended as it is: files are written beside their places and renamed, so none is half there."""

STATUSES = {int(s): 128 + int(s) for s in signal.Signals if s.name in ("SIGINT", "SIGTERM", "SIGHUP")}
"""Signals that end a command, and with which status."""


def _leave(number: int, frame=None) -> None:
    os._exit(STATUSES[number])


def quiet() -> None:
    """End the process without a word on Ctrl-C, until `loud`: modules are being loaded, and there is nothing to keep."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def loud() -> None:
    """Make Ctrl-C a `KeyboardInterrupt` again."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Around a whole command: nothing follows an interrupted one of what libraries do at the end of a process, which may fail."""
    quiet()
    try:
        yield
    except SystemExit as ended:
        if ended.code in STATUSES.values():
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            _end_children()
            os._exit(ended.code)
        raise


@contextlib.contextmanager
def prompt() -> Iterator[None]:
    """While a command runs, a signal raises `KeyboardInterrupt` or `SystemExit`, and ends the process after `GRACE` at the latest.

    Raises
    ------
    KeyboardInterrupt
        Also at the end, if something has caught it in between, or made another error of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    left, interrupted = threading.Event(), threading.Event()

    def watch():
        while number := os.read(reader, 1):
            if number[0] in STATUSES and not left.wait(GRACE):
                print(
                    "crossdyad: interrupted in the middle; what was finished is kept, the same command goes on from there",
                    file=sys.stderr,
                    flush=True,
                )
                _end_children()
                _leave(number[0])
        os.close(reader)

    def end(number, frame):
        if number != signal.SIGINT:
            raise SystemExit(STATUSES[number])
        interrupted.set()
        raise KeyboardInterrupt

    def swallowed(ignored):
        """An interrupt that was raised where Python goes on, as in a callback of its garbage collector: again, a moment later."""
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        else:
            shown(ignored)

    # what is ignored, as under nohup, stays ignored, and what a program that calls us has set stays as it is
    ours = (signal.SIG_DFL, signal.default_int_handler, _leave)
    before = {number: signal.signal(number, end) for number in STATUSES if signal.getsignal(number) in ours}
    told = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    shown, sys.unraisablehook = sys.unraisablehook, swallowed
    try:
        yield
        if interrupted.is_set():
            raise KeyboardInterrupt
    except Exception:
        if interrupted.is_set():  # an extension that is interrupted while it loads raises an ImportError
            raise KeyboardInterrupt from None
        raise
    finally:
        left.set()
        sys.unraisablehook = shown
        signal.set_wakeup_fd(told)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)


def _end_children() -> None:
    """Kill the processes that this one has started and that still run; what those have started by `hdl.tools` ends with them."""
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(name)}/stat") as file:
            if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                os.kill(int(name), signal.SIGKILL)
