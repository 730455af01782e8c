"""Oulu-CASIA: `B_OriginalImg/VL/Strong/P001/Anger/000.jpeg`; a sequence runs from a neutral face to the apex, its last image.

The corpus was recorded with two cameras (`VL` visible, `NI` infrared) under three lights (`Strong`, `Weak`, `Dark`). Visible and
strong is read, as in most work; the other conditions repeat the same subjects and classes and are counted in a note.
"""

from itertools import product
from pathlib import Path

from lightman_jax.data.corpora.base import ASK_OULU, BASIC_EMOTIONS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import below, child, find_folders, first_image, folders

_CAMERAS, _LIGHTS = ("VL", "NI"), ("Strong", "Weak", "Dark")


def _find(data_dir: Path) -> list[Path]:
    """The folder of one camera and light: visible and strong if it is there, original images rather than crops."""
    return _conditions(data_dir)[:1]


def _conditions(data_dir: Path) -> list[Path]:
    """Folders of every camera and light, the preferred one first."""
    tops = find_folders(data_dir, lambda folder: any(child(folder, camera) for camera in _CAMERAS))
    tops.sort(key=lambda folder: ("original" not in str(folder.relative_to(data_dir)).lower(), str(folder)))
    return [
        found
        for top, camera, light in product(tops, _CAMERAS, _LIGHTS)
        if (lights := child(top, camera)) and (found := child(lights, light))
    ]


def _read(collector: Collector) -> None:
    collector.note(f"camera and light: {collector.tree.parent.name} {collector.tree.name}")
    left = {
        below(condition, collector.data_dir): sum(bool(first_image(label)) for _, label in _sequences(condition))
        for condition in _conditions(collector.data_dir)
        if condition != collector.tree
    }
    if any(left.values()):
        listed = ", ".join(f"{condition} {count}" for condition, count in left.items() if count)
        collector.note(f"{sum(left.values())} sequences of other cameras, lights or copies are left out: {listed}")
    for subject, label in _sequences(collector.tree):
        numbers = collector.frames(label).numbers
        fields = {"name": label.name.lower(), "pool": "macro", "emotion": label.name}
        collector.add_folder(label, subject.name, apex=numbers[-1] if numbers else None, **fields)


def _sequences(condition: Path) -> list[tuple[Path, Path]]:
    """Folders of every subject and emotion."""
    return [(subject, label) for subject in folders(condition) for label in folders(subject)]


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
