"""Oulu-CASIA: `B_OriginalImg/VL/Strong/P001/Anger/000.jpeg`; a sequence runs from a neutral face to the apex, its last picture.

Two cameras (`VL` visible, `NI` infrared) filmed three lights (`Strong`, `Weak`, `Dark`) one after another. The
first of visible and strong, as most work uses it, is read; the others show the same people and classes again.
"""

from itertools import product
from pathlib import Path

from lightman_jax.data.corpora.reader import Collector, Movement, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.trees import child, find_folders, folders

NAME = "oulu_casia"
LOOKED_FOR = "Oulu-CASIA's own folders (B_OriginalImg/VL/Strong/P001/Anger/000.jpeg)"

_CAMERAS, _LIGHTS = ("VL", "NI"), ("Strong", "Weak", "Dark")


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders of one camera and light, visible and strong before the rest; original pictures before the makers' crops."""
    tops = find_folders(data_dir, lambda folder: any(child(folder, camera) for camera in _CAMERAS))
    tops.sort(key=lambda folder: ("original" not in str(folder.relative_to(data_dir)).lower(), str(folder)))
    conditions = [
        found
        for top, camera, light in product(tops, _CAMERAS, _LIGHTS)
        if (lights := child(top, camera)) and (found := child(lights, light))
    ]
    return conditions[:1]


def read_clips(source: Source) -> Reading:
    """Read the sequences of one camera and light."""
    collector = Collector(NAME, source)
    collector.note(f"camera and light: {source.tree.parent.name} {source.tree.name}")
    for subject in folders(source.tree):
        for label in folders(subject):
            frames = collector.frames(label)
            collector.add_movement(
                Movement(
                    where=str(label.relative_to(source.data_dir)),
                    subject=subject.name,
                    name=label.name.lower(),
                    folder=label,
                    pool="macro",
                    apex=frames.numbers[-1] if frames.numbers else None,
                    emotion=label.name,
                )
            )
    return collector.reading()
