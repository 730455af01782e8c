"""Oulu-CASIA: `B_OriginalImg/VL/Strong/P001/Anger/000.jpeg`; a sequence runs from a neutral face to the apex, its last image.

The corpus was recorded with two cameras (`VL` visible, `NI` infrared) under three lights (`Strong`, `Weak`, `Dark`). Visible and
strong is read, as in most work; the other conditions repeat the same subjects and classes.
"""

from itertools import product
from pathlib import Path

from lightman_jax.data.corpora.base import ASK_OULU, BASIC_EMOTIONS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.trees import child, find_folders, folders

_CAMERAS, _LIGHTS = ("VL", "NI"), ("Strong", "Weak", "Dark")


def _find(data_dir: Path) -> list[Path]:
    """The folder of one camera and light: visible and strong if it is there, original images rather than crops."""
    tops = find_folders(data_dir, lambda folder: any(child(folder, camera) for camera in _CAMERAS))
    tops.sort(key=lambda folder: ("original" not in str(folder.relative_to(data_dir)).lower(), str(folder)))
    conditions = [
        found
        for top, camera, light in product(tops, _CAMERAS, _LIGHTS)
        if (lights := child(top, camera)) and (found := child(lights, light))
    ]
    return conditions[:1]


def _read(collector: Collector) -> None:
    collector.note(f"camera and light: {collector.tree.parent.name} {collector.tree.name}")
    for subject in folders(collector.tree):
        for label in folders(subject):
            numbers = collector.frames(label).numbers
            fields = {"name": label.name.lower(), "pool": "macro", "emotion": label.name}
            collector.add_folder(label, subject.name, apex=numbers[-1] if numbers else None, **fields)


OULU_CASIA = Corpus(
    name="oulu_casia",
    title="Oulu-CASIA",
    obtain=ASK_OULU,
    looked_for="Oulu-CASIA's own folders (B_OriginalImg/VL/Strong/P001/Anger/000.jpeg)",
    find=_find,
    read=_read,
    subject_format="P{:03d}",
    pools=("macro",),
    fps=25,
    emotions={name: 80 for name in BASIC_EMOTIONS if name != "contempt"},
    subjects=80,
    unverified=True,
)
