"""Two host devices, strict promotion of dtypes and ranks, and small synthetic data for every test."""

import functools
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import optax
import pytest

from tests.facekit import write_facekit
from tests.inputs import TINY_RUN, write_flow_release

# Both workers of one test run share what either has compiled; nothing is kept for the next run, nor shared with another.
if "LIGHTMAN_TEST_CACHE" not in os.environ:
    os.environ["LIGHTMAN_TEST_CACHE"] = tempfile.mkdtemp(prefix="lightman_jax-tests-")
_CACHE = Path(os.environ["LIGHTMAN_TEST_CACHE"])
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
jax.config.update("jax_num_cpu_devices", 2)
# Tests compile much and run little: the same is computed by machine code that is not polished, also in processes that they start.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
jax.config.update("jax_disable_most_optimizations", True)
# The emitters of fused loops take half of the time of a compilation. A later XLA that lacks the flag would refuse to start.
_PLAIN_LOOPS = "--xla_cpu_use_fusion_emitters=false"
if jax.__version_info__ < (0, 11) and _PLAIN_LOOPS not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_PLAIN_LOOPS}"
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Traces make many objects and few cycles.
gc.set_threshold(50_000, 20, 20)


def _outside_strict_mode(
    factory: Callable[..., optax.GradientTransformation],
) -> Callable[..., optax.GradientTransformation]:
    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> optax.GradientTransformation:
        optimizer = factory(*args, **kwargs)

        def update(*inputs: Any) -> Any:
            with jax.numpy_dtype_promotion("standard"):
                return optimizer.update(*inputs)

        return optax.GradientTransformation(optimizer.init, update)

    return make


# The strict mode is for this project's code; optax's Adam and schedules mix integer counts with floats.
optax.adam, optax.adamw = _outside_strict_mode(optax.adam), _outside_strict_mode(optax.adamw)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture
def x64() -> Iterator[None]:
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def one_block(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Conv4 with one block, for tests to which the network's depth is nothing but compile time."""
    from lightman_jax.networks.backbones import Conv4
    from lightman_jax.training import program

    def forget() -> None:
        program.training_program.cache_clear()
        program.prediction_program.cache_clear()

    forget()
    monkeypatch.setattr(Conv4, "depth", 1)
    yield
    forget()


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that draw nothing: for tests of what comes before the pictures."""
    from experiments import train

    for name in ("write_report", "write_inventory", "_draw"):
        monkeypatch.setattr(train, name, lambda *_: None)


@pytest.fixture(scope="session")
def facekit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an invented ICT-FaceKit, written once."""
    return write_facekit(tmp_path_factory.mktemp("geometry") / "ICT-FaceKit")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """One finished run of the command on a miniature release, and its flags."""
    from experiments import run

    folder = tmp_path_factory.mktemp("run")
    data = write_flow_release(folder / "data")
    flags = [
        "--dataset=smic",
        f"--data_dir={data}",
        f"--data_cache={folder / 'shards'}",
        f"--workdir={folder / 'work'}",
        *TINY_RUN,
        "--baselines=majority,rbf_svm,joint",
    ]
    patch = pytest.MonkeyPatch()
    patch.setattr(run, "set_up_jax", lambda *_, **__: None)
    assert run.main(flags) == 0
    patch.undo()
    return folder, flags
