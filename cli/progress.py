"""Progress bars on standard error; plain lines where that is no terminal."""

from __future__ import annotations

import contextlib
import time


@contextlib.contextmanager
def bar(title: str):
    """A progress bar.

    Yields
    ------
    callable
        ``report(step, done, of)``, to be called as the work goes on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        last, start = [0.0], time.monotonic()

        def plain(step, done, of):
            now = time.monotonic()
            if done >= of or now - last[0] > 5:
                last[0] = now
                left = f", {(now - start) / done * (of - done):.0f} s left" if 0 < done < of and now - start > 5 else ""
                console.print(f"{title}: {step} ({done}/{of}{left})", highlight=False)

        yield plain
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None)
        yield lambda step, done, of: progress.update(task, description=f"{title}: {step}", completed=done, total=of)
