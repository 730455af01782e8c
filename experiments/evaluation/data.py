"""The data of a run: read or simulate the clips, assign labels, check every file, and prepare them once."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.cli.config import DataConfig, RunConfig, data_folders
from experiments.cli.memory import memory_bytes
from experiments.cli.progress import TimeLeft, print_progress
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.corrections import Correction, read_corrections
from lightman_jax.data.corpora.labels import EMOTIONS_3, assign_labels, label_space
from lightman_jax.data.corpora.registry import CORPORA, DATASETS
from lightman_jax.data.corpora.subjects import read_aliases, unify_subjects
from lightman_jax.data.preparation.check import Check, check_reading
from lightman_jax.data.preparation.clip_cache import ClipCache
from lightman_jax.data.preparation.load import Prepared, load_clips
from lightman_jax.data.preparation.manifest import STAND_IN_SUFFIX, Manifest, read_manifest
from lightman_jax.data.preparation.motion_config import motion_in_use
from lightman_jax.data.preparation.prepare import KEEP_UNMOVED, prepare_clips, source_fingerprint
from lightman_jax.data.preparation.representation import is_still
from lightman_jax.data.preparation.views import FALL
from lightman_jax.data.records import DataError, Problem, Reading, faults
from lightman_jax.data.synthetic.face_geometry import neutral_file
from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig, simulated_au_reading
from lightman_jax.data.synthetic.stand_in import stand_in_config, stand_in_fingerprint, stand_in_size, write_stand_in
from lightman_jax.files import require_space, user_path
from lightman_jax.types import ClipSet

Log = Callable[[str], None]

_MAX_LISTED = 5


def load_data(config: DataConfig, log: Log, image_memory: float = RunConfig.image_memory) -> Prepared:
    """Check, prepare and load the clips of a run; errors as in the other functions of this module.

    Args:
      config: data and labels.
      log: prints one line per phase.
      image_memory: share of the computer's memory above which images are read from the files when they are used.
    """
    check = check_data(config, log)
    memory = memory_bytes()
    prepared = load_clips(prepare_checked(config, check, log), image_memory * memory if image_memory else 0)
    if prepared.is_streamed:
        log(
            f"data: images take {prepared.image_bytes / 1e9:.2f} GB, more than --image_memory={image_memory:g} of "
            f"{memory / 1e9:.1f} GB of memory: they are read from the prepared files as they are drawn"
        )
    # The files may have been prepared in another place.
    manifest = dataclasses.replace(prepared.manifest, root=check.reading.resolved_place)
    for note in data_notes(manifest):
        log(f"data: {note}")
    refuse_bad_clips(config, manifest)
    refuse_single_class(config, prepared.micro)
    return prepared._replace(manifest=manifest)


def check_data(config: DataConfig, log: Log, workers: int | None = None) -> Check:
    """Read the corpora, assign labels, and check every file.

    Args:
      config: data and labels.
      log: prints one line per phase, and the lines of `print_progress`.
      workers: number of processes; None starts one per core.

    Raises:
      DataError: the corpus is not found, its tables cannot be read, the clips have no such view, or an alias names no subject.
      OSError: the cache folder cannot be written.
    """
    corrections = read_corrections(user_path(config.corrections), log) if config.corrections else ()
    reading = _read(config.dataset, config.data_dir, config, corrections, log)
    if config.dataset == SIMULATED_AU:
        reading = dataclasses.replace(reading, stand_in=True)
    if config.macro:
        reading = _with_macro(reading, _read(config.macro, config.macro_dir, config, corrections, log))
    aliases = read_aliases(user_path(config.subject_aliases), log) if config.subject_aliases else ()
    reading = unify_subjects(reading, aliases, spellings=config.subjects == "unified")
    corpora = DATASETS[config.dataset].corpora
    reading = _without_movement(_without_stills(reading, config), config)
    reading, space = assign_labels(reading, config.label_name, corpora)
    reading = _without_chosen_views(reading, config)
    log(f"data: checking {len(reading.clips)} clips of {reading.place}")
    return check_reading(reading, space, _clip_cache(config, workers, log, "data: checked clip"))


def prepare_checked(config: DataConfig, check: Check, log: Log, workers: int | None = None) -> Path:
    """Prepare checked clips, unless the same files have been prepared before with the same settings.

    Args:
      config: data and settings of the motion images.
      check: from `check_data`.
      log: prints one line per phase, and the lines of `print_progress`.
      workers: number of processes; None starts one per core.

    Returns:
      The prepared folder, for `lightman_jax.data.preparation.load.load_clips`.

    Raises:
      DataError: no clip can be prepared.
      OSError: the cache folder cannot be written, or its disk is too small.
    """
    name = config.dataset + (STAND_IN_SUFFIX if check.reading.stand_in else "")
    keep = config.no_movement == "keep"
    folder = _data_cache(config) / f"{name}-{source_fingerprint(check, config.motion, keep_unmoved=keep)}"
    count = len(check.reading.clips)
    if folder.exists():
        try:
            read_manifest(folder)
            log(f"data: {count} clips prepared before, in {folder}")
            return folder
        except DataError as error:
            log(f"data: prepared again: {str(error).split('; remove')[0]}")
    log(f"data: preparing {count} clips in {folder}")
    cache = _clip_cache(config, workers, log, "data: clip")
    prepare_clips(check, folder, dataset=config.dataset, config=config.motion, cache=cache, keep_unmoved=keep)
    return folder


def refuse_bad_clips(config: DataConfig, manifest: Manifest) -> None:
    """Refuse prepared data that lack unusable clips, unless `skip_bad_clips` is set.

    Raises:
      DataError: clips were left out.
    """
    lost = faults(manifest.problems)
    if lost and not config.skip_bad_clips:
        listed = "; ".join(f"{problem.where}: {problem.reason}" for problem in lost[:_MAX_LISTED])
        more = f"; and {len(lost) - _MAX_LISTED} more" if len(lost) > _MAX_LISTED else ""
        raise DataError(
            f"{len(lost)} clips or rows of {manifest.root} cannot be used: {listed}{more}. The other {manifest.clips['micro']} are "
            "prepared. python -m experiments.prepare with the same flags lists all; correct them, or add --skip_bad_clips to run "
            "without them"
        )


def data_notes(manifest: Manifest) -> tuple[str, ...]:
    """Every choice made in reading and preparing the data, and every clip left out or used with a change; equal ones are joined."""
    groups: dict[str, list[str]] = {}
    for problem in manifest.problems:
        if problem.flag:
            text = f"left out, {problem.flag} takes them"
        else:
            text = "not usable and left out" if problem.lost else f"used with a change ({problem.remedy})"
        groups.setdefault(text, []).append(problem.where)
    if manifest.corrections:
        groups["corrected"] = list(manifest.corrections)
    grouped = (f"{len(places)} clips or rows {text}: {_listed(places)}" for text, places in groups.items())
    return (*manifest.notes, *grouped)


def _listed(texts: Sequence[str]) -> str:
    """The first texts, and how many follow."""
    more = f" and {len(texts) - _MAX_LISTED} more" if len(texts) > _MAX_LISTED else ""
    return ", ".join(texts[:_MAX_LISTED]) + more


def refuse_single_class(config: DataConfig, micro: ClipSet) -> None:
    """Refuse micro clips that all have one class, whose scores would be 1 whatever is learned.

    Raises:
      DataError: they do.
    """
    found = {micro.classes[k] for k in micro.label.tolist()}
    if len(found) < 2:
        raise DataError(
            f"all {len(micro)} micro clips of {config.dataset} have the class {', '.join(found)}, and every score would be 1; add "
            "clips of another class, or choose other classes by --labels"
        )


def _data_cache(config: DataConfig) -> Path:
    return user_path(config.data_cache)


def _clip_cache(config: DataConfig, workers: int | None, log: Log, what: str) -> ClipCache:
    return ClipCache(_data_cache(config) / "clips", workers, _log_progress(log, what))


def _read(
    dataset: str, data_dir: str | None, config: DataConfig, corrections: Sequence[Correction], log: Log
) -> Reading:
    if dataset == SIMULATED_AU:
        return simulated_au_reading(_simulated_config(config))
    given = [folder.absolute() for folder in data_folders(data_dir)] if data_dir else []
    place = given or [_make_stand_in(dataset, _data_cache(config), log)]
    return read_corpus(dataset, place if len(place) > 1 else place[0], corrections, incomplete=config.incomplete)


def _simulated_config(config: DataConfig) -> SimulatedAUConfig:
    """The simulated corpus with the classes of the micro clips."""
    name, corpora = config.label_name, DATASETS[config.dataset].corpora
    classes = EMOTIONS_3 if name == "own" else label_space(name, corpora).classes
    geometry = neutral_file(user_path(config.geometry)).absolute() if config.geometry else None
    return SimulatedAUConfig(geometry=geometry, label_space=name, classes=classes)


def _make_stand_in(dataset: str, data_cache: Path, log: Log) -> Path:
    """The folder of a dataset's stand-in clips, written if it does not exist."""
    config = stand_in_config(dataset)
    folder = data_cache / f"{dataset}{STAND_IN_SUFFIX}-clips-{stand_in_fingerprint(dataset, config)}"
    if not folder.is_dir():
        require_space(folder, stand_in_size(dataset, config))
        title = (DATASETS.get(dataset) or CORPORA[dataset]).title
        log(f"data: writing synthetic stand-in clips of {title} to {folder}")
        write_stand_in(folder, dataset, config, on_progress=_log_progress(log, "data: synthetic subject"))
    return folder


def _without_stills(reading: Reading, config: DataConfig) -> Reading:
    """Leave out single images that cannot give the representation."""
    moving = tuple(clip for clip in reading.clips if config.motion.representation == "apex" or not is_still(clip))
    stills = len(reading.clips) - len(moving)
    if not stills:
        return reading
    note = (
        f"{stills} single images are left out: they have no {config.motion.representation}, only --representation=apex"
    )
    return dataclasses.replace(reading, clips=moving, notes=(*reading.notes, note))


def _without_movement(reading: Reading, config: DataConfig) -> Reading:
    """Leave out clips whose given apex is their onset, where the settings use that apex."""
    has_fall = any(name.endswith(FALL) for name in config.motion.view_names)
    uses_apex = config.motion.apex_policy == "given" and config.motion.representation != "frames"
    if not uses_apex or has_fall or config.no_movement == "keep":
        return reading
    remedy = f"correct the apex, or choose --apex=spot; the clip is left out, {KEEP_UNMOVED} takes it"
    unmoved = [clip for clip in reading.clips if clip.apex == 0 and len(clip.numbers) > 1]
    problems = [
        Problem(clip.clip, "an apex after the onset", f"apex and onset {clip.numbers[0]}", remedy, flag=KEEP_UNMOVED)
        for clip in unmoved
    ]
    moving = tuple(clip for clip in reading.clips if clip not in unmoved)
    return dataclasses.replace(reading, clips=moving, problems=(*reading.problems, *problems))


def _without_chosen_views(reading: Reading, config: DataConfig) -> Reading:
    """Leave out clips of flow releases that have none of the chosen views."""
    names = motion_in_use(reading.clips, config.motion).view_names
    kept = tuple(clip for clip in reading.clips if not clip.views or set(clip.views) & set(names))
    without = len(reading.clips) - len(kept)
    note = (f"{without} clips are left out: they have no view {', '.join(names)}",) if without else ()
    return dataclasses.replace(reading, clips=kept, notes=(*reading.notes, *note))


def _with_macro(micro: Reading, macro: Reading) -> Reading:
    """The micro clips of one reading and the macro clips of another."""
    replaced = sum(clip.pool == "macro" for clip in micro.clips)
    note = (f"{replaced} macro clips of {micro.layout} are left out: --macro gives another corpus",) if replaced else ()
    return dataclasses.replace(
        micro,
        layout=f"{micro.layout}+{macro.layout}",
        clips=tuple(
            [clip for clip in micro.clips if clip.pool == "micro"]
            + [clip for clip in macro.clips if clip.pool == "macro"]
        ),
        problems=(*micro.problems, *macro.problems),
        notes=(*micro.notes, *note, *macro.notes, f"macro clips by the layout {macro.layout}"),
        corrections=(*micro.corrections, *macro.corrections),
        stand_in=micro.stand_in or macro.stand_in,
    )


def _log_progress(log: Log, what: str) -> Callable[[int, int], None]:
    """A callback that prints progress, with the remaining time."""
    left = TimeLeft()
    return lambda done, total: print_progress(log, f"{what} {done}/{total}{left(done, total)}")
