"""`python -m experiments.prepare --dataset=NAME [--data_dir=FOLDER] [--check]`: check a corpus as downloaded, and prepare it.

Everything is checked first and printed in one pass: the layout found, the clips of each class and subject beside
the published numbers, every row and file that is not as it should be with what to do about it, corrections applied.
Then every clip is prepared on all cores. The same call takes up what is there already. `experiments.run` does the
same when it needs to.

Exit status: 0 all is well, 1 clips or rows were left out, 2 the data or flags cannot be used at all.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.cli.commands import run_command
from experiments.cli.config import DataConfig, parse_prepare_config
from experiments.reporting.data_sheet import save_sheet
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.catalog import CORPORA, PROTOCOLS
from lightman_jax.data.corpora.corrections import read_corrections
from lightman_jax.data.corpora.labels import assign_labels
from lightman_jax.data.corpora.records import DataError, Reading
from lightman_jax.data.preparation.check import Check, check_reading
from lightman_jax.data.preparation.clip_cache import ClipStore
from lightman_jax.data.preparation.prepare import STAND_IN_SUFFIX, check_prepared, prepare_clips, source_fingerprint
from lightman_jax.data.preparation.representation import is_still
from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig, simulated_au_reading
from lightman_jax.data.synthetic.stand_in import stand_in_config, stand_in_fingerprint, stand_in_size, write_stand_in
from lightman_jax.files import require_space, write_whole

Say = Callable[[str], None]
FORMAT_VERSION = 1
"""Of the check's JSON."""

_MOST_LISTED = 40


def check_data(config: DataConfig, say: Say, workers: int | None = None) -> Check:
    """Read the corpus, give its clips their labels, and check every file.

    Args:
      config: which data.
      say: told one line a phase, and of long ones each tenth.
      workers: processes; None takes one a core.

    Raises:
      DataError: no such corpus there, or one whose tables cannot be read.
      OSError: the shards' folder cannot be written.
    """
    data_cache = Path(config.data_cache).expanduser()
    corrections = read_corrections(Path(config.corrections).expanduser()) if config.corrections else ()

    def read(name: str, given: str | None) -> Reading:
        if name == SIMULATED_AU:
            return simulated_au_reading(SimulatedAUConfig())
        folder = Path(given).expanduser() if given else _stand_in(name, data_cache, say)
        return read_corpus(name, folder, corrections)

    reading = read(config.dataset, config.data_dir)
    if config.dataset == SIMULATED_AU:
        reading = dataclasses.replace(reading, stand_in=True)
    if config.macro:
        reading = _with_macro(reading, read(config.macro, config.macro_dir))
    reading, space = assign_labels(
        _without_stills(reading, config), config.label_name, PROTOCOLS[config.dataset].corpora
    )
    say(f"data: checking {len(reading.clips)} clips of {reading.root}")
    progress = _each_tenth(say, "data: checked clip")
    return check_reading(reading, space, ClipStore(data_cache / "clips"), workers=workers, on_progress=progress)


def prepare_checked(config: DataConfig, check: Check, say: Say, workers: int | None = None) -> Path:
    """Prepare what was checked, or take up what was prepared before from the same files with the same settings.

    Args:
      config: which data.
      check: from `check_data`.
      say: told one line a phase, and of long ones each tenth.
      workers: processes; None takes one a core.

    Returns:
      The folder of the shards, for `lightman_jax.data.preparation.load.load_clips`.

    Raises:
      DataError: no clip can be prepared.
      OSError: the shards' folder cannot be written, or its disk is too small.
    """
    data_cache = Path(config.data_cache).expanduser()
    name = config.dataset + (STAND_IN_SUFFIX if check.reading.stand_in else "")
    folder = data_cache / f"{name}-{source_fingerprint(check.reading, check.space, config.motion)}"
    count = len(check.reading.clips)
    if folder.exists():
        try:
            check_prepared(folder)
            say(f"data: {count} clips prepared before, from {folder}")
            return folder
        except DataError as error:
            say(f"data: prepared anew, because {str(error).split('; remove')[0]}")
    say(f"data: preparing {count} clips into {folder}")
    prepare_clips(
        check,
        folder,
        dataset=config.dataset,
        config=config.motion,
        store=ClipStore(data_cache / "clips"),
        workers=workers,
        on_progress=_each_tenth(say, "data: clip"),
    )
    return folder


def refuse_bad_clips(config: DataConfig, problems: Sequence[dict[str, Any]], root: Path, left: int) -> None:
    """Stop at clips that cannot be used, unless `skip_bad_clips` says to go on without them.

    Raises:
      DataError: there are some.
    """
    lost = [problem for problem in problems if problem["lost"]]
    if lost and not config.skip_bad_clips:
        listed = "; ".join(
            f"{p['where']}: found {p['found']}; expected {p['expected']}; {p['remedy']}" for p in lost[:5]
        )
        more = f"; and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise DataError(
            f"{len(lost)} clips or rows of {root} cannot be used: {listed}{more}. The other {left} are prepared. "
            "python -m experiments.prepare with the same flags lists all; repair them, or add --skip_bad_clips to run without"
        )


def print_check(console: Console, check: Check) -> None:
    """Print counts, problems, notes and corrections."""
    reading = check.reading
    invented = " (INVENTED STAND-IN CLIPS)" if reading.stand_in else ""
    console.print(
        f"layout {reading.layout} in {reading.root}{invented}; {len(check.space.classes)} classes, --labels={check.space.name}"
    )
    counts = Table(
        "corpus",
        "pool",
        "clips",
        *check.space.classes,
        "subjects",
        "deviates from the published numbers",
        title="Found",
    )
    for count in check.counts:
        numbers = [str(count.found[name]) for name in check.space.classes]
        said = "" if reading.stand_in else count.deviation or ("no" if count.published else "unknown")
        counts.add_row(count.title, count.pool, str(sum(count.found.values())), *numbers, str(count.subjects), said)
    console.print(counts)
    if reading.problems:
        listed = Table(
            "where", "expected", "found", "remedy", title=f"{len(reading.problems)} problems", show_lines=True
        )
        for problem in sorted(reading.problems, key=lambda problem: not problem.lost)[:_MOST_LISTED]:
            listed.add_row(problem.where, problem.expected, problem.found, problem.remedy)
        console.print(listed)
        if len(reading.problems) > _MOST_LISTED:
            console.print(f"and {len(reading.problems) - _MOST_LISTED} more, all of them in the JSON")
    for line in (
        *(f"note: {note}" for note in reading.notes),
        *(f"correction: {text}" for text in reading.corrections),
    ):
        console.print(line)
    lost = len(check.lost)
    console.print(
        f"{len(reading.clips)} clips can be used; {lost} clips or rows cannot"
        if lost
        else f"all {len(reading.clips)} clips can be used"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's text for the exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)

    def work() -> int:
        config = parse_prepare_config(words)
        return _prepare(config.data, console, config.workers or None, config.out, check_alone=config.check)

    return run_command("experiments.prepare", words, work, remedy="Give a folder that can be written by --data_cache")


def _prepare(data: DataConfig, console: Console, workers: int | None, out: str | None, *, check_alone: bool) -> int:
    started = time.monotonic()
    check = check_data(data, console.print, workers)
    print_check(console, check)
    if check_alone:
        path = Path(out or "check.json").expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"format_version": FORMAT_VERSION, "dataset": data.dataset} | check.as_json()
        write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        console.print(f"check: {path}")
        return 1 if check.lost else 0
    folder = prepare_checked(data, check, console.print, workers)
    manifest = check_prepared(folder)
    for problem in manifest["problems"][len(check.reading.problems) :]:
        console.print(f"left out: {problem['where']}: {problem['found']}")
    sheet = folder.parent / f"{folder.name}.png"
    # A clip that could not be prepared may not be decodable for the sheet either.
    lost = {problem["where"] for problem in manifest["problems"] if problem["lost"]}
    shown = tuple(clip for clip in check.reading.clips if clip.clip not in lost)
    if sheet.exists() or save_sheet(sheet, shown, data.motion, manifest["origin"]):
        console.print(f"pictures: {sheet}")
    console.print(f"faces: {_tally(manifest['faces'])}; apexes: {_tally(manifest['apexes'])}")
    console.print(f"prepared: {_tally(manifest['clips'])} clips in {folder}, {time.monotonic() - started:.1f} s")
    return 1 if any(problem["lost"] for problem in manifest["problems"]) else 0


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _without_stills(reading: Reading, config: DataConfig) -> Reading:
    """Leave single pictures out where they cannot give the representation."""
    moving = tuple(clip for clip in reading.clips if config.motion.representation == "apex" or not is_still(clip))
    stills = len(reading.clips) - len(moving)
    if not stills:
        return reading
    note = f"{stills} single pictures are left out: they have no {config.motion.representation}, only --representation=apex"
    return dataclasses.replace(reading, clips=moving, notes=(*reading.notes, note))


def _with_macro(micro: Reading, macro: Reading) -> Reading:
    """The micro clips of one reading and the macro clips of another; macro clips the first one has of its own are left out."""
    own = sum(clip.pool == "macro" for clip in micro.clips)
    said = (f"{own} macro clips of the data's own are left out: another macro corpus is asked for",) if own else ()
    return dataclasses.replace(
        micro,
        layout=f"{micro.layout}+{macro.layout}",
        clips=tuple(
            [clip for clip in micro.clips if clip.pool == "micro"]
            + [clip for clip in macro.clips if clip.pool == "macro"]
        ),
        problems=(*micro.problems, *macro.problems),
        notes=(*micro.notes, *said, *macro.notes, f"macro clips from {macro.root}"),
        corrections=(*micro.corrections, *macro.corrections),
        stand_in=micro.stand_in or macro.stand_in,
    )


def _stand_in(dataset: str, data_cache: Path, say: Say) -> Path:
    config = stand_in_config(dataset)
    folder = data_cache / f"{dataset}{STAND_IN_SUFFIX}-clips-{stand_in_fingerprint(dataset, config)}"
    if not folder.is_dir():
        require_space(folder, stand_in_size(dataset, config))
        title = PROTOCOLS[dataset].title if dataset in PROTOCOLS else CORPORA[dataset].title
        say(f"data: inventing stand-in clips of {title} below {folder}")
        write_stand_in(folder, dataset, config, on_progress=_each_tenth(say, "data: invented subject"))
    return folder


def _each_tenth(say: Say, what: str) -> Callable[[int, int], None]:
    """Speak when another tenth is done, with the time that remains."""
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done * 10 // total != (done - 1) * 10 // total:
            left = (time.monotonic() - started) * (total - done) / done
            say(f"{what} {done}/{total}" + (f", {left:.0f} s to go" if left >= 1 else ""))

    return progress


if __name__ == "__main__":
    sys.exit(main())
