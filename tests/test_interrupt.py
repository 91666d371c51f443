"""Ctrl-C: a command ends within seconds and with status 130, its tools and workers with it, whatever it is at."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossdyad.hdl import tools
from crossdyad.sim import simulators

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")

PROMPT = 30
"""Seconds in which a process on a busy machine has ended that needs one."""


def in_session(session: int) -> dict[int, str]:
    """The processes of a session, and their commands."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, at = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(at) == session and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended
            pass
    return found


def until(condition, what: str):
    for _ in range(10 * 4 * PROMPT):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"waited in vain until {what}")


def interrupted(command, begun, cwd, which=signal.SIGINT) -> tuple[int, str, float]:
    """Start a command, interrupt it alone when `begun(its processes)`; status, what it said, and seconds that it took to end."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}
    with open(cwd / "said", "w") as said:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=said, stderr=said, start_new_session=True)
    try:
        until(lambda: process.poll() is not None or begun(in_session(process.pid)), "it has begun")
        assert process.poll() is None, (cwd / "said").read_text()
        at = time.monotonic()
        process.send_signal(which)
        status = process.wait(4 * PROMPT)
        took = time.monotonic() - at
        until(lambda: not in_session(process.pid), "nothing of it is left")
        return status, (cwd / "said").read_text(), took
    finally:
        for left in in_session(process.pid):
            os.kill(left, signal.SIGKILL)


def crossdyad(*arguments) -> list[str]:
    return [sys.executable, "-c", "from crossdyad.cli import main; main()", *arguments]


@pytest.mark.parametrize("which, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_tool_and_all_that_it_started_end_with_a_command(which, status, tmp_path):
    code = """if True:
        from crossdyad.cli import app
        from crossdyad.cli.errors import explained
        from crossdyad.hdl import tools
        app.command("wait")(explained(lambda: tools.run(["sh", "-c", "sleep 600 & sleep 600"])))
        app(["wait"])
    """
    got, said, _ = interrupted(
        [sys.executable, "-c", code], lambda there: sum("sleep 600" in c for c in there.values()) >= 3, tmp_path, which
    )
    assert got == status, said


def test_tools_end_also_if_we_are_killed(tmp_path):
    code = "from crossdyad.hdl import tools; tools.run(['sh', '-c', 'sleep 600 & sleep 600'])"
    status, _, _ = interrupted(
        [sys.executable, "-c", code], lambda there: sum("sleep 600" in c for c in there.values()) >= 3, tmp_path, signal.SIGKILL
    )
    assert status == -signal.SIGKILL


def test_compiled_code_that_python_cannot_interrupt_is_ended(tmp_path):
    code = """if True:
        import hashlib
        from crossdyad.cli import app, interrupt
        from crossdyad.cli.errors import explained
        interrupt.GRACE = 0.5
        app.command("hash")(explained(lambda: (print("begun"), hashlib.pbkdf2_hmac("sha512", b"a", b"b", 500_000_000))))
        app(["hash"])
    """
    status, said, _ = interrupted([sys.executable, "-c", code], lambda _: "begun" in (tmp_path / "said").read_text(), tmp_path)
    assert status == 130 and "interrupted" in said


def test_a_co_simulation_that_compiles_ends_with_its_compilers(tmp_path):
    if reason := simulators.missing("verilator"):
        pytest.skip(reason)
    status, said, took = interrupted(
        crossdyad("cosim", "xor", "--samples", "1"), lambda there: any("cc1plus" in c for c in there.values()), tmp_path
    )
    assert status == 130 and "goes on from there" in said and took < PROMPT, said
    assert not list((tmp_path / ".build/sim").glob("*-*")), "half a build"


@pytest.mark.parametrize("then", ["pass", "raise ImportError"])
def test_an_interrupt_that_a_library_swallows_counts(then, tmp_path):
    """As an import in a `try` does, and an extension that is being loaded."""
    code = f"""if True:
        from crossdyad import cli
        from crossdyad.cli.errors import explained
        def swallow():
            try:
                import time
                print("begun")
                time.sleep(600)
            except BaseException:
                {then}
        cli.app.command("swallow")(explained(swallow))
        import sys
        sys.argv = ["crossdyad", "swallow"]
        cli.main()
    """
    status, said, _ = interrupted([sys.executable, "-c", code], lambda _: "begun" in (tmp_path / "said").read_text(), tmp_path)
    assert status == 130 and "interrupted" in said


def test_an_interrupt_in_a_callback_of_the_garbage_collector_counts(tmp_path):
    """JAX has such callbacks; what they raise is only printed."""
    code = """if True:
        import gc, sys, time
        from crossdyad import cli
        from crossdyad.cli.errors import explained
        def slow(phase, info):
            if phase == "start":
                print("begun")
                time.sleep(3)
        def work():
            gc.callbacks.append(slow)
            gc.collect()
            gc.callbacks.remove(slow)
            time.sleep(600)
        cli.app.command("work")(explained(work))
        cli.interrupt.GRACE = 600
        sys.argv = ["crossdyad", "work"]
        cli.main()
    """
    status, said, _ = interrupted([sys.executable, "-c", code], lambda _: "begun" in (tmp_path / "said").read_text(), tmp_path)
    assert status == 130 and "Traceback" not in said, said


@pytest.mark.parametrize("when", ["while modules load", "while another program of a library runs"])
def test_a_command_ends_without_a_traceback(when, tmp_path):
    """Before it has begun; and with a child that is none of `hdl.tools`, as Amaranth's Yosys."""
    if when == "while modules load":
        code = """if True:
            import sys, time, types
            class Slow(types.ModuleType):
                def __getattr__(self, name):
                    print("begun")
                    time.sleep(600)
            sys.modules["typer"] = Slow("typer")
            import crossdyad.cli
        """
    else:
        code = """if True:
            import subprocess, sys
            from crossdyad import cli
            from crossdyad.cli.errors import explained
            def start():
                child = subprocess.Popen(["sleep", "600"])
                print("begun")
                child.wait()
            cli.app.command("start")(explained(start))
            sys.argv = ["crossdyad", "start"]
            cli.main()
        """
    status, said, _ = interrupted([sys.executable, "-c", code], lambda _: "begun" in (tmp_path / "said").read_text(), tmp_path)
    assert status == 130 and "Traceback" not in said, said


@pytest.mark.slow
def test_checks_end_with_their_workers_and_say_what_they_found(tmp_path):
    status, said, took = interrupted(
        crossdyad("cookbook", "--check", "1", "55", "75", "76"), lambda _: "expected" in (tmp_path / "said").read_text(), tmp_path
    )
    assert status == 130 and took < PROMPT, said
    assert "rows fulfil their law; " in said and "were not checked" in said, said


def test_what_runs_in_threads_ends_when_it_is_left():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool, tools.together() as run:
        slow = pool.submit(run, ["sleep", "600"])
        time.sleep(0.5)
    with pytest.raises(tools.Stopped, match="ended"):
        slow.result()
    with pytest.raises(tools.Stopped, match="not started"):
        run(["sleep", "600"])


def test_a_tool_tells_its_status_and_its_words(tmp_path):
    done = tools.run(["sh", "-c", "echo out; echo err >&2; exit 3"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "out\nerr\n")
    assert tools.run(["sh", "-c", "kill -9 $$"]).returncode == 137
