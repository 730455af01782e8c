"""Settings outside the flags of a run that change the numbers of a training: of JAX, XLA, the device and the packages."""

import enum
import os
import re
import shlex
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import jax

_OF_JAX = (
    *("jax_default_prng_impl", "jax_random_seed_offset", "jax_threefry_partitionable", "jax_high_dynamic_range_gumbel"),
    *("jax_enable_x64", "jax_explicit_x64_dtypes", "jax_default_dtype_bits", "jax_numpy_dtype_promotion"),
    *("jax_default_matmul_precision", "jax_allow_f16_reductions", "jax_use_magma"),
    *("jax_softmax_custom_jvp", "jax_use_direct_linearize", "jax_remat3", "jax_scan3", "jax_custom_vjp3"),
    *("jax_disable_jit", "jax_disable_most_optimizations", "jax_optimization_level", "jax_memory_fitting_level"),
    *("jax_exec_time_optimization_effort", "jax_memory_fitting_effort", "jax_compiler_enable_remat_pass"),
)
_OF_ENVIRONMENT = (
    *("NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG", "TF_CUDNN_DETERMINISTIC", "TF_DETERMINISTIC_OPS"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
)
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
# Words in the names of flags that concern numbers of devices and threads, files that are written, messages and waiting times.
_HARMLESS = re.compile(
    "(^|_)(dump|dumping|device_count|logs?|logging|verbosity|profile|profiling|trace|traceme|tracing|print|stats|debug|line_info|"
    "annotations?|metadata|embed|cache|data_dir|timeout|stuck|multi_thread|threads?|parallelism|parallel_codegen|verification|checks?)"
    "(_|$)"
)
_VERSIONS = {f"version of {name}": metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")}


def numeric_settings() -> dict[str, str]:
    """Name and value of every setting outside the flags of a run that changes the numbers of a training.

    The number of devices, caches, logs and dumps change none and are left out, and so is the model of a CPU.
    """
    found = {name: _text(getattr(jax.config, name)) for name in _OF_JAX if hasattr(jax.config, name)}
    found |= {name: os.environ[name] for name in _OF_ENVIRONMENT if os.environ.get(name)}
    for variable in _FLAGS:
        found |= {f"{variable} {name}": value for name, value in _numeric_flags(os.environ.get(variable, "")).items()}
    found |= _VERSIONS
    found["device"] = _device_text(jax.devices()[0])
    default = getattr(jax.config, "jax_default_device", None)
    if default is not None:
        found["default device"] = _device_text(default if isinstance(default, jax.Device) else jax.devices(default)[0])
    return found


def difference(stored: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The settings that differ, in words, such as `jax_enable_x64=False there, True here`; empty if there are none."""
    names = [name for name in {**stored, **now} if stored.get(name) != now.get(name)]
    return "; ".join(f"{name}={stored.get(name, 'not set')} there, {now.get(name, 'not set')} here" for name in names)


def _device_text(device: jax.Device) -> str:
    """Platform, and for other devices than a CPU their kind and the version of their compiler."""
    if device.platform == "cpu":
        return "cpu"
    return f"{device.device_kind} ({device.platform}, {' '.join(device.client.platform_version.split())})"


def _numeric_flags(text: str) -> dict[str, str]:
    """Flags of `XLA_FLAGS` or of the file that it names, without those that change no number; the last value of a flag counts."""
    if text.strip() and not text.lstrip().startswith("-"):
        try:
            text = Path(text.strip()).read_text(encoding="utf-8")
        except OSError:
            return {"file": text.strip()}
    words = [word.lstrip("-").partition("=") for word in shlex.split(text)]
    flags = {name: value if equals else "true" for name, equals, value in words}
    return {name: flags[name] for name in sorted(flags) if not _HARMLESS.search(name)}


def _text(value: object) -> str:
    return value.name.lower() if isinstance(value, enum.Enum) else str(value)
