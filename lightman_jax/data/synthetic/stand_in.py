"""Stand-in data: synthetic clips written in the layout of a corpus's download, so that everything runs without a licence."""

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.corpora.registry import CORPORA, DATASETS
from lightman_jax.data.records import MARKER
from lightman_jax.data.synthetic.faces import SimulatorConfig, subject_clips
from lightman_jax.data.synthetic.stand_in_layouts import WRITERS
from lightman_jax.data.synthetic.stand_in_layouts.files import SyntheticSubject
from lightman_jax.files import remove_leftovers, temporary_path

VERSION = 3
"""Part of the folder's name. Raise it whenever the same settings would write different files: a change of the drawing,
the action-unit fields or a layout."""

_SUBJECT_NUMBERS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20)
_EMOTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("casme", "casme3", "mmew", "dfme", "ck_plus", "oulu_casia"), ("disgust", "happiness", "surprise")),
    **dict.fromkeys(("samm", "samm_long"), ("anger", "happiness", "others", "surprise")),
    "casme2": ("disgust", "happiness", "others", "surprise"),
    "fer2013": ("disgust", "happiness", "neutral", "surprise"),
    "casme3_c": ("anger", "disgust", "happiness", "sadness", "surprise"),
    # Its five classes by action units need sadness as well.
    "megc2018": ("disgust", "happiness", "others", "sadness", "surprise"),
}


def stand_in_config(dataset: str) -> SimulatorConfig:
    """Size of a dataset's stand-in: SMIC's sixteen subjects, else six with one or two clips per emotion."""
    if dataset == "smic":
        return SimulatorConfig()
    return SimulatorConfig(subjects=6, micro_clips=2, macro_clips=1)


def stand_in_fingerprint(dataset: str, config: SimulatorConfig) -> str:
    """Digest of the settings and `VERSION`: the cache key of the files."""
    return hashlib.sha256(f"{VERSION} {dataset} {config}".encode()).hexdigest()[:8]


def stand_in_size(dataset: str, config: SimulatorConfig) -> int:
    """Upper limit of the bytes written."""
    emotions = sum(len(_emotions(dataset, name)) for name in _corpora(dataset))
    clips = emotions * config.subjects * (config.micro_clips + config.macro_clips)
    return 4 * clips * config.frames * config.side**2


def write_stand_in(
    folder: Path, dataset: str, config: SimulatorConfig, *, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write synthetic clips in the layout of a dataset's download, with a marker file that names them as synthetic.

    Args:
      folder: root of the tree; it is complete or absent.
      dataset: a name in `DATASETS` or `CORPORA`.
      config: number and intensity of the clips.
      on_progress: called with the number of subjects done and in all.
    """
    corpora = _corpora(dataset)
    numbers = _SUBJECT_NUMBERS[: config.subjects]

    def subjects(index: int, corpus: str) -> Iterator[SyntheticSubject]:
        # A composite has different subjects in every corpus.
        own = dataclasses.replace(config, seed=config.seed + 1000 * index)
        for done, number in enumerate(numbers, start=1):
            yield SyntheticSubject(number, list(subject_clips(number, own, _emotions(dataset, corpus))))
            if on_progress is not None:
                on_progress(index * len(numbers) + done, len(corpora) * len(numbers))

    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, folder.name)
    scratch = temporary_path(folder)
    scratch.mkdir()
    try:
        titles = ", ".join(CORPORA[name].title for name in corpora)
        (scratch / MARKER).write_text(f"Every clip below this folder is synthetic by a program. It is not {titles}.\n")
        for index, corpus in enumerate(corpora):
            WRITERS[corpus](scratch if len(corpora) == 1 else scratch / corpus, subjects(index, corpus))
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _corpora(dataset: str) -> tuple[str, ...]:
    return DATASETS[dataset].corpora if dataset in DATASETS else (dataset,)


def _emotions(dataset: str, corpus: str) -> tuple[str, ...]:
    return _EMOTIONS.get(dataset if dataset not in CORPORA else corpus, _EMOTIONS.get(corpus, EMOTIONS_3))
