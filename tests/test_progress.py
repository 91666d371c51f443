"""Progress where no line can be drawn again: at a sensible pace, with estimates that hold."""

import json
import re

from typer.testing import CliRunner

from crossdyad.cli import app, options
from crossdyad.cli.progress import RARELY, Lines


def said(reports, until: float, even: bool = True) -> list[tuple[float, str]]:
    """What is printed, and when, of reports (time, step, done, of), with a beat every second."""
    lines, now, found = None, 0.0, []
    lines = Lines("work", even, lambda line: found.append((now, line)))
    waiting = sorted(reports)
    while now <= until:
        while waiting and waiting[0][0] <= now:
            lines.report(now, *waiting.pop(0)[1:])
        lines.beat(now)
        now += 1.0
    return found


def test_a_step_that_lasts_gives_signs_of_life_ever_more_rarely():
    """Place and route of 21 minutes."""
    found = said([(0, "synthesis", 0, 5), (40, "place and route", 1, 5), (1300, "done", 5, 5)], 1300, even=False)
    assert found[0] == (0, "work: synthesis (0/5)")
    assert (40, "work: place and route (1/5, 40 s so far)") in found
    times = [t for t, _ in found]
    pauses = [b - a for a, b in zip(times, times[1:], strict=False)]
    assert max(pauses) <= RARELY and 15 <= len(found) <= 30
    assert not any("left" in line for _, line in found), "steps that differ have no estimate"
    assert found[-1] == (1300, "work: done (5/5, 21 min 40 s so far)")


def test_many_short_steps_are_few_lines():
    found = said([(0.1 * n, f"row {n}", n, 1000) for n in range(1001)], 101)
    assert 10 <= len(found) <= 25
    pauses = [b - a for (a, _), (b, _) in zip(found, found[1:-1], strict=False)]
    assert min(pauses) >= 5


def seconds(line: str) -> int | None:
    left = re.search(r", (?:(\d+) h )?(?:(\d+) min ?)?(?:(\d+) s )?left", line)
    return left and sum(int(n or 0) * unit for n, unit in zip(left.groups(), (3600, 60, 1), strict=True))


def test_a_step_that_is_late_makes_what_is_left_longer():
    """Three steps of a second, then one that does not end for ten minutes."""
    late = [seconds(line) for t, line in said([(n, f"run {n}", n, 100) for n in range(4)], 600) if t > 300]
    assert late and min(late) >= 96 * 300 / 3 - 300 and late == sorted(late)


def test_estimates_hold():
    """A first epoch that compiles for a minute, then 29 of ten seconds."""
    found = said([(0, "epoch 1", 0, 30)] + [(60 + 10 * n, f"epoch {n + 2}", n + 1, 30) for n in range(30)], 350)
    estimates = [(t, seconds(line)) for t, line in found if seconds(line) is not None]
    assert len(estimates) > 20
    assert all(abs(t + left - 350) <= 5 for t, left in estimates), estimates


def test_a_run_that_goes_on_does_not_count_what_was_there():
    found = said([(0, "epoch 21", 20, 30)] + [(2 + 10 * n, "epoch", 20 + n, 30) for n in range(1, 11)], 102)
    assert all(abs(t + seconds(line) - 102) <= 5 for t, line in found if seconds(line) is not None), found


def test_json_is_valid_whatever_the_figures():
    text = options.dump({"a": [float("nan"), (float("inf"), 1.5)], "b": {"c": -float("inf")}})
    assert json.loads(text, parse_constant=lambda word: 1 / 0) == {"a": [None, [None, 1.5]], "b": {"c": None}}


def test_a_row_that_fails_with_an_error_is_valid_json(monkeypatch):
    """Its measured value is no number."""
    from crossdyad.models.cookbook import ROWS, checks

    monkeypatch.setattr(checks.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(type(ROWS[2]), "findings", lambda row, seed: 1 / 0)
    done = CliRunner().invoke(app, ["cookbook", "--check", "2", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout, parse_constant=lambda word: 1 / 0)[0]["findings"][0]["measured"] is None


def test_rows_are_printed_as_they_end(monkeypatch):
    from crossdyad.models.cookbook import checks

    printed = []
    monkeypatch.setattr("typer.echo", lambda text: printed.append(text))

    def results(numbers, seed):
        for n in numbers:
            yield checks.Result(n, [checks.Finding("a law", 1.0, "1", True)], 0.1)
            assert printed and f"{n:>3}  " in printed[-1], "before the next one begins"

    monkeypatch.setattr(checks, "results", results)
    assert CliRunner().invoke(app, ["cookbook", "--check", "1", "2"]).exit_code == 0
    assert printed[-1] == "2 of 2 rows fulfil their law"


def test_training_that_changes_no_weight_is_said(tmp_path):
    (tmp_path / "still.toml").write_text(
        'name = "still"\nsizes = [3, 2]\nlanes = [2]\nlearning_rate = 9.5367431640625e-07\n'
        'rate_floor = 9.5367431640625e-07\n[rounding]\nweight = "nearest"\n[training]\nepochs = 1\n'
    )
    done = CliRunner().invoke(app, ["train", str(tmp_path / "still.toml"), "-o", str(tmp_path), "--engine", "numpy"])
    assert done.exit_code == 0 and "note: no weight has changed: at learning_rate 9.53674e-07" in done.stdout
