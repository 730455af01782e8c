"""`python -m experiments.run --dataset=smic [--data_dir=FOLDER]`: train, test and report, by default leave-one-subject-out."""

import sys
from collections.abc import Sequence

from experiments.cli.commands import run_command
from experiments.cli.config import parse_config
from experiments.cli.runtime import is_first, set_up_jax
from experiments.cli.terminal import make_console


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
      0 when results are written; 2, 130 and 143 as in `run_command`.
    """
    return run_command("experiments.run", argv, _run)


def _run(words: Sequence[str]) -> int:
    config = parse_config(words)
    set_up_jax(
        config.data.data_cache,
        coordinator=config.coordinator,
        processes=config.processes,
        process_id=config.process_id,
    )
    # Importing these starts JAX, whose devices must be configured before.
    from experiments.evaluation.dry_run import dry_run
    from experiments.evaluation.protocols import train_as_worker
    from experiments.train import train_and_evaluate

    if config.dry_run:
        dry_run(config, make_console(), train_and_evaluate)
    elif is_first():
        train_and_evaluate(config)
    else:
        train_as_worker(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
