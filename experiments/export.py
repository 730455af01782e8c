"""`python -m experiments.export RUN [--out=FILE]`: write all networks of a finished run to one file that needs no further package.

The file contains the programs for CPUs, CUDA GPUs and TPUs (`jax.export`), the weights, the class names and the preprocessing
settings. `experiments.predict` accepts it as --model; elsewhere JAX and NumPy are sufficient, see experiments/README.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, whole_number
from experiments.cli.terminal import make_console
from experiments.prediction.models import read_run_model
from lightman_jax.model.export import export_ensemble


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 2 with one paragraph on standard error if the run cannot be exported."""
    return run_command("experiments.export", argv, _run, remedy=RUN_NEEDED)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("export", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="workdir of a finished run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="output file [RUN.lightman]")
    parser.add_argument(
        "--seeds",
        type=whole_number(1),
        metavar="COUNT",
        help="number of seeds of the run to export; fewer seeds give a smaller file [all]",
    )
    parser.add_argument(
        "--adapt_steps", type=whole_number(0), metavar="STEPS", help="inner steps on labelled clips [as in the run]"
    )
    options = parser.parse_args(words)
    named = options.run if options.run.name else options.run.resolve()
    out = options.out or named.with_name(f"{named.name}.lightman")
    found = read_run_model(options.run, options.adapt_steps, options.seeds)
    export_ensemble(out, *found)
    size = out.stat().st_size / 1e6
    console = make_console()
    console.print(f"{len(set(found.card.folds))} folds, {found.card.seeds} seed(s), trained on {found.card.origin}")
    console.print(f"{out}: {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
