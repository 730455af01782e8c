"""`python -m experiments.prepare --dataset=NAME [--data_dir=FOLDER] [--check]`: check a corpus as downloaded, and prepare it.

The check prints the layout found, the clips of each class next to the published numbers, and every row and file with a
problem. Then all clips are prepared; results of earlier calls are reused. `experiments.run` does the same when needed.

Exit status: 0 all clips can be used, except those that default settings leave out, 1 clips or rows were left out because of
faults, 2 the data or flags cannot be used.
"""

import json
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from experiments.cli.commands import run_command
from experiments.cli.config import PrepareConfig, parse_prepare_config
from experiments.cli.terminal import make_console
from experiments.evaluation.data import check_data, prepare_checked
from experiments.reporting.contact_sheet import save_contact_sheet
from experiments.reporting.data_check import print_check
from lightman_jax.data.preparation.check import Check
from lightman_jax.data.preparation.manifest import read_manifest
from lightman_jax.data.preparation.motion_config import motion_in_use
from lightman_jax.data.records import faults
from lightman_jax.files import user_path, write_atomic

FORMAT_VERSION = 2
"""Of the JSON file of `--check`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module docstring for the exit status."""
    return run_command("experiments.prepare", argv, _run, remedy="Choose a writable folder by --data_cache")


def _run(words: Sequence[str]) -> int:
    config = parse_prepare_config(words)
    console = make_console(width=160)
    check = check_data(config.data, console.print, config.workers or None)
    print_check(console, check, motion_in_use(check.reading.clips, config.data.motion).view_names)
    return _write_check(config, check, console) if config.check else _prepare(config, check, console)


def _write_check(config: PrepareConfig, check: Check, console: Console) -> int:
    path = user_path(config.out or "check.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format_version": FORMAT_VERSION, "dataset": config.data.dataset} | check.to_json()
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    console.print(f"check: {path}")
    return 1 if faults(check.reading.problems) or not check.reading.clips else 0


def _prepare(config: PrepareConfig, check: Check, console: Console) -> int:
    started = time.monotonic()
    folder = prepare_checked(config.data, check, console.print, config.workers or None)
    manifest = read_manifest(folder)
    for problem in manifest.problems[len(check.reading.problems) :]:
        state = "left out" if problem.lost else f"used with a change ({problem.remedy})"
        console.print(f"{state}: {problem.where}: {problem.found}")
    contact_sheet = folder.parent / f"{folder.name}.png"
    # A clip that could not be prepared may not be decodable for the contact sheet either.
    lost = {problem.where for problem in manifest.problems if problem.lost}
    shown = tuple(clip for clip in check.reading.clips if clip.clip not in lost)
    if contact_sheet.exists() or save_contact_sheet(contact_sheet, shown, manifest.motion, manifest.origin):
        console.print(f"contact sheet: {contact_sheet}")
    for note in manifest.notes[len(check.reading.notes) :]:
        console.print(f"note: {note}")
    if manifest.views:
        console.print(f"views: {_tally(manifest.views)}")
    console.print(f"faces: {_tally(manifest.faces)}; apexes: {_tally(manifest.apexes)}")
    console.print(f"prepared: {_tally(manifest.clips)} clips in {folder}, {time.monotonic() - started:.1f} s")
    return 1 if faults(manifest.problems) else 0


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


if __name__ == "__main__":
    sys.exit(main())
