"""One public function sets up devices and the compilation cache, for commands and for notebooks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOW = "print(json.dumps([jax.device_count(), jax.config.jax_compilation_cache_dir]))"


def run_python(code, tmp_path):
    """Last line of a fresh process, as JSON, and its standard error."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
    }
    environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
def test_a_notebook_sets_up_what_the_command_sets_up(tmp_path):
    code = f"import json, jax; from experiments.cli.runtime import set_up_jax; set_up_jax({str(tmp_path)!r}); {SHOW}"
    found, _ = run_python(code, tmp_path)
    assert found == [min(16, len(os.sched_getaffinity(0))), str(tmp_path / "xla")]


@pytest.mark.slow
def test_setting_up_after_jax_has_started_warns_and_keeps_the_devices(tmp_path):
    code = (
        "import json, jax; jax.config.update('jax_num_cpu_devices', 3); jax.devices();"
        f"from experiments.cli.runtime import set_up_jax; set_up_jax({str(tmp_path)!r}); {SHOW}"
    )
    found, warned = run_python(code, tmp_path)
    assert found == [3, str(tmp_path / "xla")]
    assert "restart the process" in warned
