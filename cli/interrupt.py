"""Interruptions that end a command within seconds, also while compiled code runs, which Python cannot interrupt."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading

GRACE = 4.0
"""Seconds from a signal until the process is ended as it is: files are written beside their places and renamed, so none is half there."""

SIGNALS = {name: 128 + int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
"""Those that end a command, and with which status."""


@contextlib.contextmanager
def prompt():
    """While this lasts, a signal ends the process after `GRACE` at the latest, with its workers and tools."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    statuses = {int(getattr(signal, name)): status for name, status in SIGNALS.items()}
    left = threading.Event()

    def watch():
        while number := reader.recv(1):
            if number[0] in statuses and not left.wait(GRACE):
                for worker in multiprocessing.active_children():
                    worker.kill()
                print("crossdyad: interrupted in the middle; what was finished is kept, the same command goes on from there",
                      file=sys.stderr, flush=True)
                os._exit(statuses[number[0]])        # tools end with the process (hdl.tools)
        reader.close()

    def end(number, frame):
        raise SystemExit(statuses[number])

    # what is ignored, as under nohup, stays ignored
    before = {number: signal.signal(number, end) for number in statuses
              if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_DFL}
    told = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(told)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()
