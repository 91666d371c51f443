"""Processes that end too soon, or not by themselves: what `crossdyad.sim.witnesses` starts in place of one that shows a fault."""

import os
import time


def dies(send, given):
    """Before it has said anything."""
    os._exit(3)


def dies_later(send, given):
    """After its first witness has begun."""
    send(("row 12",))
    os._exit(3)


def stays(send, given):
    """Says who it is, and stays."""
    send(os.getpid())
    time.sleep(600)
