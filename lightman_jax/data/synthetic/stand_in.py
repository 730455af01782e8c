"""Invented clips written to disk as each corpus's own download, so that everything runs without a licence."""

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from lightman_jax.data.corpora.catalog import CORPORA, MARKER, PROTOCOLS
from lightman_jax.data.synthetic.faces import SimulatorConfig, subject_clips
from lightman_jax.data.synthetic.stand_in_files import InventedPerson
from lightman_jax.data.synthetic.stand_in_macro import MACRO_TREES
from lightman_jax.data.synthetic.stand_in_micro import MICRO_TREES
from lightman_jax.files import remove_parts, scratch_for

VERSION = 2
"""Raised whenever the same settings would write other files."""

TREES = {**MICRO_TREES, **MACRO_TREES}
"""Writer of each corpus by its name in the catalogue."""

_SUBJECT_NUMBERS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20)
_EMOTIONS: dict[str, tuple[str, ...]] = {
    "smic": ("negative", "positive", "surprise"),
    "casme": ("disgust", "happiness", "surprise"),
    "casme2": ("disgust", "happiness", "others", "surprise"),
    "samm": ("anger", "happiness", "others", "surprise"),
    "mmew": ("disgust", "happiness", "surprise"),
    "dfme": ("disgust", "happiness", "surprise"),
    "ck_plus": ("disgust", "happiness", "surprise"),
    "oulu_casia": ("disgust", "happiness", "surprise"),
    "fer2013": ("disgust", "happiness", "neutral", "surprise"),
    "casme3": ("disgust", "happiness", "surprise"),
    "casme3_c": ("anger", "disgust", "happiness", "sadness", "surprise"),
    # By action units, whose five classes need sadness as well.
    "megc2018": ("disgust", "happiness", "others", "sadness", "surprise"),
}
_MOST_SUBJECTS = 6


def stand_in_config(dataset: str) -> SimulatorConfig:
    """How much is invented for a dataset: SMIC's sixteen people, or six with a clip or two of each emotion."""
    return (
        SimulatorConfig()
        if dataset == "smic"
        else SimulatorConfig(subjects=_MOST_SUBJECTS, micro_clips=2, macro_clips=1)
    )


def stand_in_fingerprint(dataset: str, config: SimulatorConfig) -> str:
    """Name of the files that would be written."""
    return hashlib.sha256(f"{VERSION} {dataset} {config}".encode()).hexdigest()[:8]


def stand_in_size(dataset: str, config: SimulatorConfig) -> int:
    """Bytes that are needed at most."""
    corpora = PROTOCOLS[dataset].corpora if dataset in PROTOCOLS else (dataset,)
    clips = (
        sum(len(_emotions(dataset, name)) for name in corpora)
        * config.subjects
        * (config.micro_clips + config.macro_clips)
    )
    return 4 * clips * config.frames * config.side**2


def write_stand_in(
    folder: Path, dataset: str, config: SimulatorConfig, *, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write a dataset's clips in the layout of its real download, marked as invented.

    Args:
      folder: becomes the tree's root; complete or absent.
      dataset: a name in `PROTOCOLS` or `CORPORA`.
      config: how much and how strong.
      on_progress: called with subjects done and subjects in all.

    Returns:
      `folder`.
    """
    corpora = PROTOCOLS[dataset].corpora if dataset in PROTOCOLS else (dataset,)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(folder.parent, folder.name)
    scratch = scratch_for(folder)
    scratch.mkdir()
    try:
        titles = ", ".join(CORPORA[name].title for name in corpora)
        (scratch / MARKER).write_text(f"Every clip below this folder is invented by a program. It is not {titles}.\n")
        numbers = _SUBJECT_NUMBERS[: config.subjects]
        for index, corpus in enumerate(corpora):
            tree = TREES[corpus](scratch if len(corpora) == 1 else scratch / corpus)
            # Different people in every corpus of a composite.
            own = dataclasses.replace(config, seed=config.seed + 1000 * index)
            for done, number in enumerate(numbers, start=1):
                tree.add(InventedPerson(number, list(subject_clips(number, own, _emotions(dataset, corpus)))))
                if on_progress is not None:
                    on_progress(index * len(numbers) + done, len(corpora) * len(numbers))
            tree.finish()
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _emotions(dataset: str, corpus: str) -> tuple[str, ...]:
    usual = _EMOTIONS.get(corpus, _EMOTIONS["samm" if corpus == "samm_long" else "smic"])
    return _EMOTIONS[dataset] if dataset not in CORPORA and dataset in _EMOTIONS else usual
