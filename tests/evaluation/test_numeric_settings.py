"""Every setting outside a run's flags that changes numbers enters the keys of trainings and results, and nothing else does."""

import types

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evaluation import numeric_settings as settings_module
from experiments.evaluation.numeric_settings import difference, numeric_settings

CHANGED = {
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 1,
    "jax_high_dynamic_range_gumbel": True,
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_disable_jit": True,
    "jax_softmax_custom_jvp": True,
}
HARMLESS = {
    "jax_log_compiles": True,
    "jax_compilation_cache_dir": "/tmp/somewhere",
    "jax_traceback_filtering": "off",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_numpy_rank_promotion": "warn",
    "jax_transfer_guard": "log",
    "jax_enable_checks": True,
}
NUMERIC_FLAGS = (
    *("xla_cpu_enable_fast_math", "xla_allow_excess_precision", "xla_gpu_deterministic_ops", "xla_gpu_autotune_level"),
    *("xla_gpu_exclude_nondeterministic_ops", "xla_gpu_enable_triton_gemm", "xla_backend_optimization_level"),
    *("xla_cpu_max_isa", "xla_disable_hlo_passes", "xla_gpu_ftz", "xla_cpu_use_onednn", "xla_gpu_enable_cublaslt"),
)
HARMLESS_FLAGS = (
    *("xla_force_host_platform_device_count", "xla_dump_to", "xla_dump_hlo_as_text", "xla_dump_hlo_pass_re"),
    *("xla_cpu_multi_thread_eigen", "intra_op_parallelism_threads", "xla_gpu_force_compilation_parallelism"),
    *("xla_gpu_per_fusion_autotune_cache_dir", "xla_hlo_profile", "xla_gpu_cuda_data_dir", "xla_detailed_logging"),
    *("xla_gpu_nccl_termination_timeout_seconds", "xla_cpu_collective_call_warn_stuck_timeout_seconds"),
)


@pytest.fixture
def set_config():
    """`jax.config.update`, undone at the end."""
    before = {}

    def update(name, value):
        before.setdefault(name, getattr(jax.config, name))
        jax.config.update(name, value)

    yield update
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(autouse=True)
def no_flags(monkeypatch):
    for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("name", "value"), CHANGED.items(), ids=CHANGED)
def test_a_setting_of_jax_that_changes_numbers_is_named(name, value, set_config):
    before = numeric_settings()
    set_config(name, value)
    found = difference(before, numeric_settings())
    assert found == f"{name}={before[name]} there, {value} here"


def test_settings_of_a_context_count():
    for values in (jax.numpy_dtype_promotion, ("strict", "standard")), (jax.enable_x64, (True, False)):
        context, (first, second) = values
        with context(first):
            before = numeric_settings()
        with context(second):
            assert numeric_settings() != before
    before = numeric_settings()
    with jax.default_prng_impl("unsafe_rbg"):
        assert difference(before, numeric_settings()) == "jax_default_prng_impl=threefry2x32 there, unsafe_rbg here"
    assert numeric_settings() == before


@pytest.mark.parametrize(("name", "value"), HARMLESS.items(), ids=HARMLESS)
def test_a_setting_of_jax_that_changes_no_number_is_left_out(name, value, set_config):
    before = numeric_settings()
    set_config(name, value)
    assert numeric_settings() == before


FLAGS = st.lists(st.tuples(st.sampled_from(NUMERIC_FLAGS + HARMLESS_FLAGS), st.sampled_from(["", "1", "true", "a b"])))


@given(FLAGS)
def test_flags_of_xla_count_by_their_last_value_in_any_order_but_harmless_ones(flags):
    last = {name: value or "true" for name, value in flags}
    expected = {f"XLA_FLAGS {name}": value for name, value in last.items() if name in NUMERIC_FLAGS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", " ".join(f"--{name}{value and f'={value!r}'}" for name, value in flags))
        found = numeric_settings()
    assert {name: value for name, value in found.items() if name.startswith("XLA_FLAGS")} == expected


def test_flags_in_a_file_and_variables_of_libraries_count(tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    before = numeric_settings()
    (tmp_path / "flags").write_text("--xla_cpu_enable_fast_math=true\n--xla_dump_to=/tmp/x\n")
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert difference(before, numeric_settings()) == (
        "NVIDIA_TF32_OVERRIDE=not set there, 0 here; XLA_FLAGS xla_cpu_enable_fast_math=not set there, true here"
    )


def test_the_kind_of_a_device_counts_and_the_number_of_devices_does_not(monkeypatch):
    def device(platform, kind="cpu", compiler="PJRT C API\ncuda 13000"):
        return types.SimpleNamespace(
            platform=platform, device_kind=kind, client=types.SimpleNamespace(platform_version=compiler)
        )

    def with_devices(*devices):
        monkeypatch.setattr(settings_module.jax, "devices", lambda *_: list(devices))
        return numeric_settings()

    cpu = with_devices(device("cpu"))
    assert cpu == with_devices(*[device("cpu")] * 8)
    gpus = [
        device("gpu", "NVIDIA H100 80GB HBM3"),
        device("gpu", "NVIDIA H200"),
        device("gpu", "NVIDIA H200", "cuda 12080"),
    ]
    found = [with_devices(gpu) for gpu in gpus]
    assert difference(cpu, found[0]) == ("device=cpu there, NVIDIA H100 80GB HBM3 (gpu, PJRT C API cuda 13000) here")
    assert len({str(one) for one in (cpu, *found)}) == 4


def test_versions_count(monkeypatch):
    before = numeric_settings()
    assert {name for name in before if name.startswith("version of ")} == {
        f"version of {name}" for name in ("jax", "jaxlib", "flax", "optax")
    }
    monkeypatch.setitem(settings_module._VERSIONS, "version of optax", "9")
    assert difference(before, numeric_settings()) == f"version of optax={before['version of optax']} there, 9 here"
