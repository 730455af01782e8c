"""Find or make the prepared data of a run: the corpus at `--data_dir`, or invented stand-in clips where none is given."""

import shutil
from collections.abc import Callable
from pathlib import Path

from experiments.config import DATA_VARIABLE, RunConfig
from lightman_jax.data.builder import STAND_IN_SUFFIX, prepare_clips, source_fingerprint
from lightman_jax.data.catalog import PROTOCOLS
from lightman_jax.data.clips import DataError
from lightman_jax.data.layouts import read_corpus
from lightman_jax.data.motion import MotionConfig
from lightman_jax.data.source import Prepared, load_clips
from lightman_jax.data.stand_in import StandInConfig, stand_in_fingerprint, write_stand_in

Say = Callable[[str], None]
_STAND_IN_OF = "smic"


def prepare_data(config: RunConfig, say: Say) -> Prepared:
    """Read the corpus and prepare it, or take up what was prepared before from the same files with the same settings.

    Args:
      config: `dataset`, `data_dir`, `shards` and `skip_bad_clips` are used.
      say: told one line a phase.

    Raises:
      DataError: no such corpus there, or clips that cannot be read while `skip_bad_clips` is off.
      OSError: the shards' folder cannot be written.
    """
    shards = Path(config.shards).expanduser()
    data_dir = Path(config.data_dir).expanduser() if config.data_dir else _stand_in(config, shards, say)
    reading = read_corpus(config.dataset, data_dir)
    motion = MotionConfig()
    name = config.dataset + (STAND_IN_SUFFIX if reading.stand_in else "")
    folder = shards / f"{name}-{source_fingerprint(reading, motion)}"
    if folder.is_dir():
        say(f"data: {len(reading.clips)} clips prepared before, from {folder}")
    else:
        say(f"data: preparing {len(reading.clips)} clips of {reading.root} into {folder}")
        prepare_clips(
            reading, folder, dataset=config.dataset, config=motion, on_progress=_every_tenth(say, "data: clip")
        )
    prepared = load_clips(folder)
    problems = prepared.manifest["problems"]
    if problems and not config.skip_bad_clips:
        listed = "; ".join(f"{problem['where']}: {problem['reason']}" for problem in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise DataError(
            f"{len(problems)} clips or rows of {reading.root} cannot be used: {listed}{more}. "
            f"The other {len(prepared.micro)} are prepared. Repair the files, or add --skip_bad_clips to run without them"
        )
    return prepared


def _stand_in(config: RunConfig, shards: Path, say: Say) -> Path:
    if config.dataset != _STAND_IN_OF:
        title = PROTOCOLS[config.dataset].title
        raise DataError(
            f"{title} needs its data: give the folder by --data_dir or {DATA_VARIABLE}. "
            f"Invented stand-in clips exist for --dataset={_STAND_IN_OF} alone"
        )
    stand_in = StandInConfig()
    folder = shards / f"{_STAND_IN_OF}{STAND_IN_SUFFIX}-clips-{stand_in_fingerprint(stand_in)}"
    if not folder.is_dir():
        needed = (
            4
            * stand_in.subjects
            * 3
            * (stand_in.micro_clips + stand_in.macro_clips)
            * stand_in.frames
            * stand_in.side**2
        )
        existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise DataError(
                f"{existing} has {free >> 20} MiB free, the stand-in needs {needed >> 20}; give another folder by --shards"
            )
        say(f"data: inventing stand-in clips below {folder}")
        write_stand_in(folder, stand_in, on_progress=_every_tenth(say, "data: invented subject"))
    return folder


def _every_tenth(say: Say, what: str) -> Callable[[int, int], None]:
    """Speak when another tenth is done."""

    def progress(done: int, total: int) -> None:
        if done * 10 // total != (done - 1) * 10 // total:
            say(f"{what} {done}/{total}")

    return progress
