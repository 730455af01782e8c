"""`python -m experiments.export RUN [--out=FILE]`: all networks of a finished run in one file, which predicts without this package.

The file holds the programs for CPUs, CUDA GPUs and TPUs (`jax.export`), the weights, the names of the classes, and how a movement
becomes an image. `experiments.predict` takes it as --model; elsewhere JAX and NumPy are enough: README, "A model in one file".
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser
from experiments.prediction.models import read_run_model
from lightman_jax.model.export import export_ensemble


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 with one paragraph on standard error if the run cannot be exported."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command("experiments.export", words, lambda: _run(words), remedy=RUN_NEEDED)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("export", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="workdir of a finished run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file [RUN.lightman]")
    parser.add_argument(
        "--seeds", type=int, metavar="COUNT", help="how many of the run's seeds; fewer are a smaller file [all]"
    )
    parser.add_argument(
        "--adapt_steps", type=int, metavar="STEPS", help="inner steps on labelled clips [those of the run]"
    )
    options = parser.parse_args(words)
    out = options.out or options.run.with_name(f"{options.run.name}.lightman")
    found = read_run_model(options.run, options.adapt_steps, options.seeds)
    export_ensemble(out, *found)
    size = out.stat().st_size / 1e6
    print(
        f"{len(found.about['folds'])} folds, {found.about['seeds']} seed(s), trained on {found.about['data']['origin']}"
    )
    print(f"{out}: {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
