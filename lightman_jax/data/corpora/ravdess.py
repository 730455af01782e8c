"""RAVDESS Facial Landmark Tracking: a csv file of OpenFace for each clip, `01-01-03-02-01-01-12.csv`, without images.

The name is modality, channel (speech or song), emotion, intensity, statement, repetition and actor. Onset, apex and offset are not
annotated: the points give them. `02` in place of the first `01` is the same performance without sound, in files that OpenFace
made from the videos of RAVDESS; such copies are not used.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lightman_jax.data.corpora.action_units import parse_action_units
from lightman_jax.data.corpora.base import Corpus, normal_emotion
from lightman_jax.data.corpora.corrections import FRAME_FIELDS
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.spans import landmark_span
from lightman_jax.data.folders.trees import below, find_files
from lightman_jax.data.records import Movement, RawClip

_NAME = r"0[12]-0[12]-\d\d-0[12]-0[12]-0[12]-\d\d"
_EMOTIONS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
# Performances of each emotion by those who speak and those who sing: the 18th actor does not sing, and nobody sings the last two.
_NEUTRAL, _SUNG, _SPOKEN = 4 * (24 + 23), 8 * (24 + 23), 8 * 24


def _files(folder: Path) -> list[Path]:
    return sorted(find_files(folder, _NAME, {".csv"}, depth=4), key=lambda path: path.name)


def _read(collector: Collector) -> None:
    collector.note(
        "the subjects of RAVDESS speak or sing in every clip, so the movement of their mouths is speech as well"
    )
    performances: set[str] = set()
    unknown: set[str] = set()
    for path in _files(collector.tree):
        actor, performance = collector.corpus.normal_subject(path.stem[-2:]), path.stem[3:]
        movement = Movement(below(path, collector.data_dir), actor, path.stem, None)
        if performance in performances and not path.stem.startswith("01"):
            collector.count("files of RAVDESS without sound are copies of performances, and left out")
            continue
        performances.add(performance)
        if actor not in unknown and not collector.corpus.check_subject(movement, actor, collector.problem):
            unknown.add(actor)
        with collector.reporting():
            _add(collector, path, movement)


def _add(collector: Collector, path: Path, movement: Movement) -> None:
    number = int(path.stem.split("-")[2])
    written = _EMOTIONS[number - 1] if 1 <= number <= len(_EMOTIONS) else f"{number:02d}"
    name = f"{collector.corpus.name}/{movement.subject}/{movement.name}"
    values: dict[str, Any] = {
        "onset": None,
        "apex": None,
        "offset": None,
        "emotion": written,
        "action_units": "",
        "objective": "",
    }
    values |= collector.correct(name, values)
    collector.corpus.check_emotion(dataclasses.replace(movement, emotion=values["emotion"]))
    clip = RawClip(
        clip=name,
        subject=f"{collector.corpus.subject_pool}/{movement.subject}",
        pool="macro",
        kind="landmarks",
        paths=(path,),
        fps=collector.corpus.fps,
        emotion=normal_emotion(values["emotion"]),
        written=values["emotion"],
        action_units=parse_action_units(values["action_units"]),
        **landmark_span(movement.where, *(values[field] for field in FRAME_FIELDS)),
    )
    collector.add(clip, movement.where)


RAVDESS = Corpus(
    name="ravdess",
    title="RAVDESS Facial Landmark Tracking",
    obtain="take FacialTracking_Actors_01-24.zip from Zenodo (record 3255102, CC BY-NC-SA 4.0)",
    looked_for="csv files of OpenFace with the names of RAVDESS (01-01-03-02-01-01-12.csv)",
    find=lambda data_dir: [data_dir] if _files(data_dir) else [],
    read=_read,
    subject_format="Actor_{:02d}",
    pools=("macro",),
    fps=30,
    emotions={
        **dict.fromkeys(_EMOTIONS, _SUNG),
        "neutral": _NEUTRAL,
        **dict.fromkeys(("disgust", "surprise"), _SPOKEN),
    },
    subjects=24,
    subject_numbers=tuple(range(1, 25)),
)
