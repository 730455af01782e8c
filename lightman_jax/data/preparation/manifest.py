"""The manifest of a prepared folder: the clips, how they were prepared, and a digest of every file."""

import dataclasses
from pathlib import Path
from typing import Any, Self

from lightman_jax.data.preparation.check import CorpusCount, LabelCount
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.records import DataError, Problem
from lightman_jax.files import file_digest, read_checksummed_json, write_checksummed_json

FORMAT_VERSION = 8
"""Part of the folder's name. Raise it whenever the manifest or the stored examples change their format."""

MANIFEST = "manifest.json"
STAND_IN_SUFFIX = "_stand_in"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
      dataset: name of the dataset, with the suffix `_stand_in` for stand-in data.
      stand_in: whether the clips are synthetic.
      origin: origin of the clips, in words.
      layout: layout in which the files were found.
      root: folder in which they were found when they were prepared; nothing depends on it.
      motion: settings of the motion images; `views` lists those in use, and is empty for one view that the other settings
        describe.
      flow: unit of the flow, in words.
      labels: name of the label space.
      classes: names of the classes, in the order of the label indices.
      clips, faces, apexes: number of clips by pool, by source of the face box, and by source of the apex.
      views: number of clips that have each view, in the order of the images; empty for images without a view axis.
      counts: found and published number of clips of each corpus.
      notes, corrections, problems: as in `Reading`.
      sources: SHA-256 of every source file, by path below `root`.
      shards: SHA-256 of every other file of the prepared folder, by name.
    """

    dataset: str
    stand_in: bool
    origin: str
    layout: str
    root: str
    motion: MotionConfig
    flow: str
    labels: str
    classes: tuple[str, ...]
    clips: dict[str, int]
    faces: dict[str, int]
    apexes: dict[str, int]
    views: dict[str, int]
    counts: tuple[CorpusCount, ...]
    notes: tuple[str, ...]
    corrections: tuple[str, ...]
    problems: tuple[Problem, ...]
    sources: dict[str, str]
    shards: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The same as an object of JSON types."""
        return {"format_version": FORMAT_VERSION} | dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
          ValueError: another format version.
        """
        version = content.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"it has format version {version}, this release reads {FORMAT_VERSION}")
        return cls(
            **{
                **{name: value for name, value in content.items() if name != "format_version"},
                "motion": MotionConfig(**content["motion"]),
                "counts": tuple(map(_corpus_count, content["counts"])),
                "problems": tuple(Problem(**problem) for problem in content["problems"]),
                **{name: tuple(content[name]) for name in ("classes", "notes", "corrections")},
            }
        )

    def write(self, folder: Path) -> None:
        """Write the manifest to a prepared folder; errors as `write_checksummed_json`."""
        write_checksummed_json(folder / MANIFEST, self.to_json())


def _corpus_count(content: dict[str, Any]) -> CorpusCount:
    return CorpusCount(**{**content, "labels": tuple(LabelCount(**label) for label in content["labels"])})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder, and compare every file with its digest.

    Raises:
      DataError: the manifest or a file is missing or damaged, or the format version differs; names the file, and the
        command that prepares the folder again.
    """
    command = "python -m experiments.prepare --dataset=NAME"
    try:
        content = read_checksummed_json(folder / MANIFEST)
        command = _command(content)
        manifest = Manifest.from_json(content)
        for name, digest in manifest.shards.items():
            path = folder / name
            if not path.is_file() or file_digest(path) != digest:
                raise ValueError(f"{path} is missing or changed since it was prepared")
    except ValueError as error:
        raise DataError(f"{folder} cannot be used: {error}; remove it and prepare it again: {command}") from error
    return manifest


def _command(content: dict[str, Any]) -> str:
    """The command that prepares a folder, as far as its manifest names it; manifests of all formats have these keys."""
    dataset = str(content.get("dataset", "NAME")).removesuffix(STAND_IN_SUFFIX)
    data_dir = "" if content.get("stand_in") else f" --data_dir={content.get('root', 'FOLDER')}"
    return f"python -m experiments.prepare --dataset={dataset}{data_dir}"
