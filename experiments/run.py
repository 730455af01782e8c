"""`python -m experiments.run --dataset=smic [--data_dir=FOLDER]`: train, test and report, under leave-one-subject-out."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from experiments.cli.commands import require_device, run_command
from experiments.cli.config import RunConfig, parse_config
from experiments.cli.hosts import is_first, join_hosts
from experiments.reporting.console import make_console

_MOST_HOST_DEVICES = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
      0 when results are written; 2, 130 and 143 as `run_command` has them.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command("experiments.run", words, lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    config = parse_config(words)
    set_up_jax(config)
    from experiments.train import train_and_evaluate, train_as_worker

    if config.dry_run:
        from experiments.evaluation.dry_run import dry_run

        dry_run(config, make_console())
    elif is_first():
        train_and_evaluate(config)
    else:
        train_as_worker(config)
    return 0


def set_up_jax(config: RunConfig) -> None:
    """One host device a core, so that folds train side by side on a CPU, and compiled programs kept between runs."""
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not told and "JAX_NUM_CPU_DEVICES" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jax.config.update("jax_num_cpu_devices", min(cores, _MOST_HOST_DEVICES))
    jax.config.update("jax_compilation_cache_dir", str(Path(config.data.data_cache).expanduser() / "xla"))
    join_hosts(config)
    require_device()


if __name__ == "__main__":
    sys.exit(main())
