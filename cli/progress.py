"""Progress bars on standard error; plain lines where that is no terminal."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

SOON, RARELY = 5.0, 60.0
"""Seconds between two plain lines: at least so many, and at most, when a step takes long."""


@contextlib.contextmanager
def bar(title: str, even: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar.

    Parameters
    ----------
    title : str
    even : bool
        Whether all steps take about as long, so that what is left can be estimated from those that are done.

    Yields
    ------
    callable
        ``report(step, done, of)``, to be called as the work goes on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        lines = Lines(title, even, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
        ended = threading.Event()

        def beat():
            while not ended.wait(1):
                lines.beat(time.monotonic())

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield lambda step, done, of: lines.report(time.monotonic(), step, done, of)
        finally:
            ended.set()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, *([TimeRemainingColumn()] if even else []), console=console) as progress:
        task = progress.add_task(title, total=None)
        yield lambda step, done, of: progress.update(task, description=f"{title}: {step}", completed=done, total=of)


class Lines:
    """Progress as lines, where none can be drawn again: new steps, not too often, and a sign of life while one lasts.

    Parameters
    ----------
    title : str
    even : bool
        As of `bar`.
    say : callable
        Prints a line.
    """

    def __init__(self, title: str, even: bool, say: Callable[[str], None]):
        self._title, self._even, self._say = title, even, say
        self._times: list[tuple[int, float]] = []  # how much was done, and since when: first and last, and after the first step
        self._now: tuple[str, int, int] | None = None
        self._waiting, self._pause, self._last = False, 2 * SOON, 0.0
        self._lock = threading.Lock()

    def report(self, now: float, step: str, done: int, of: int) -> None:
        """Take note of a step, and print it if the last line is long enough ago."""
        with self._lock:
            if not self._times:
                self._last = now - SOON
            if not self._times or done > self._times[-1][0]:
                # a first step may compile, or find what an earlier run has done: estimates begin after it
                self._times = [*self._times[:2], (done, now)]
            self._now, self._waiting, self._pause = (step, done, of), True, 2 * SOON
            if done >= of or now - self._last >= SOON:
                self._print(now)

    def beat(self, now: float) -> None:
        """Print the step that waits to be said; or that it still lasts, ever more rarely."""
        with self._lock:
            if self._now is None or self._now[1] >= self._now[2]:
                return
            if now - self._last >= (SOON if self._waiting else self._pause):
                if not self._waiting:
                    self._pause = min(2 * self._pause, RARELY)
                self._print(now)

    def _print(self, now: float) -> None:
        step, done, of = self._now
        self._last, self._waiting, words = now, False, [f"{done}/{of}"]
        if now - self._times[0][1] >= SOON:
            words.append(f"{_duration(now - self._times[0][1])} so far")
        if self._even and len(self._times) == 3 and done < of:
            (first, since), (last, then) = self._times[1:]
            # a step that already lasts longer than those before makes what is left longer, too
            each = max((then - since) / (last - first), (now - since) / (last - first + 1))
            words.append(f"{_duration(max(0, each * (of - done) - (now - then)))} left")
        self._say(f"{self._title}: {step} ({', '.join(words)})")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
