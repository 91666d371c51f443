"""What several tests share: simulators that may be missing here, and JAX in 64 bits where tests transform the reference."""

import os
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, settings

from crossdyad.recipe import allow
from crossdyad.sim import simulators

jax.config.update("jax_enable_x64", True)  # `test_models_precision` has processes of its own in which it is not
# the tests' own rules and energy models, and one that is not there
allow(*(path.stem for path in Path(__file__).parent.glob("*.py")), "tests", "nowhere")

settings.register_profile("crossdyad", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
settings.load_profile("crossdyad")


def pytest_configure(config):
    """Let workers have a thread each; let XLA compile in a third of the time for quick tests.

    A BLAS of which two workers have two threads each, on two processors, waits several times as long as it computes. Quick tests
    compile thousands of small functions, of which hardly any runs long.
    """
    if getattr(config.option, "numprocesses", None):  # they start after this
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    if config.option.markexpr == "not slow":
        flags = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
        if jax.__version_info__ < (0, 11):  # has no other emitters later
            flags.append("--xla_cpu_use_fusion_emitters=false")
        os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])


def needs(simulator: str):
    """Skip if a simulator is missing here; fail instead where co-simulation is required."""
    reason = simulators.missing(simulator)
    if reason and os.environ.get("CROSSDYAD_REQUIRE_COSIM") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def simulator(request):
    """The simulator named by the test's parameter, if it is here."""
    needs(request.param)
    return request.param


@pytest.fixture(scope="module")
def promises():
    """Shapes that docstrings promise are held in every call while a module's tests run; the names of the functions that were called."""
    import shapes

    with pytest.MonkeyPatch.context() as patch:
        yield shapes.hold(patch, "emulator", "models", "weights")


@pytest.fixture
def spec(tmp_path):
    """Path of a small sweep's specification."""
    import sweeps

    path = tmp_path / "small.toml"
    path.write_text(sweeps.SPEC)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Path of that sweep's store, with five seeds."""
    import sweeps

    folder = tmp_path_factory.mktemp("store")
    (folder / "small.toml").write_text(sweeps.SPEC.replace("seeds = 2", "seeds = 5"))
    sweeps.swept(folder / "small.toml", folder / "small.db")
    return folder / "small.db"
