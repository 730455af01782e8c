"""Run the fault injections, print what failed, and write `fault_injection.json`."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser, refuse_unknown
from experiments.cli.terminal import make_console
from lightman_jax.files import write_atomic
from tests.fault_injection import __doc__ as about
from tests.fault_injection.corruption import try_corruption
from tests.fault_injection.kills import try_kills
from tests.fault_injection.long_run import try_long_run
from tests.fault_injection.mutations import try_mutations
from tests.fault_injection.small_disk import try_small_disk

TRIALS: dict[str, Callable[[Path, Callable[[str], None]], dict[str, Any]]] = {
    "kills": try_kills,
    "corruption": try_corruption,
    "mutations": try_mutations,
    "small_disk": try_small_disk,
    "long_run": try_long_run,
}
FORMAT_VERSION = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 without failures, 1 with failures."""
    return run_command("tests.fault_injection", argv, _run, remedy="Give a writable folder by --workdir")


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("fault_injection", about)
    parser.prog = "python -m tests.fault_injection"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(TRIALS)}; default: all")
    parser.add_argument("--workdir", type=Path, default=Path("runs") / "fault_injection", help="folder of the results")
    options = parser.parse_args(words)
    for name in options.names:
        refuse_unknown("trial", name, TRIALS)
    console = make_console()
    options.workdir.mkdir(parents=True, exist_ok=True)
    found = {name: _try(name, console) for name in options.names or TRIALS}
    for name, result in found.items():
        console.print(f"{name}:", style="bold")
        for key, value in result.items():
            if isinstance(value, dict):
                console.print(f"  {key}:", *(f"    {name}: {one}" for name, one in value.items()), sep="\n")
            elif key != "failures":
                console.print(f"  {key}: {value}")
        for text in result["failures"]:
            console.print(f"  FAILURE: {text}", style="red", markup=False)
    path = options.workdir / "fault_injection.json"
    content = {"format_version": FORMAT_VERSION, "data": "synthetic subjects, not a corpus", "trials": found}
    write_atomic(path, json.dumps(content, indent=1) + "\n")
    failures = sum(len(result["failures"]) for result in found.values())
    console.print(f"{failures} failures; results: {path}")
    return 1 if failures else 0


def _try(name: str, console: Console) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix=f"lightman_jax-{name}-"))
    started = time.monotonic()
    try:
        return TRIALS[name](folder, lambda text: console.print(text, markup=False)) | {
            "minutes": round((time.monotonic() - started) / 60, 1)
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
