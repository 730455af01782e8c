"""`python -m experiments.compare RUN RUN ...`: paired differences of UF1 between runs on the same clips and seeds.

A RUN is a workdir, or a table of predictions, which may come from another program: CSV or a workbook with the columns clip,
subject, label, prediction, and seed if there is more than one. Its classes are its labels and predictions. Every run is compared
with every other run.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, as_config_error
from experiments.cli.terminal import make_console
from experiments.evaluation.comparison import compare_runs
from experiments.reporting.console import print_comparison


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 2 with one paragraph on standard error if the runs cannot be compared."""
    return run_command("experiments.compare", argv, _run, remedy=RUN_NEEDED)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("compare", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="workdirs or tables of predictions")
    console = make_console()
    with as_config_error():
        compared = compare_runs(parser.parse_args(words).runs, report=lambda note: console.print(f"note: {note}"))
    print_comparison(console, compared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
