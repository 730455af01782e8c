"""The result of a run as typed records, and as `metrics.json`."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.evaluation.records import as_json, from_json, read_json, write_json


@dataclasses.dataclass(frozen=True)
class DataSource:
    """Which data a result comes from: name, whether it is stand-in data, and a sentence on its origin."""

    dataset: str
    stand_in: bool
    origin: str


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score: mean and standard deviation over seeds, and the 95% subject-bootstrap interval of the mean."""

    mean: float
    sd: float | None
    interval: tuple[float, float]
    per_seed: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """Clips of one class, and its F1 and recall, mean over seeds."""

    clips: int
    f1: float
    recall: float | None


@dataclasses.dataclass(frozen=True)
class SubjectScore:
    """Clips of one subject, in total and per class, and their accuracy, mean over seeds."""

    clips: int
    class_counts: tuple[int, ...]
    accuracy: float


@dataclasses.dataclass(frozen=True)
class CorpusScore:
    """Scores of the clips of one corpus."""

    clips: int
    subjects: int
    uf1: Estimate
    uar: Estimate
    accuracy: Estimate


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of a table of predictions, from confusion matrices pooled over folds.

    Clips are counted per seed. `confusion_per_seed` is `[seeds][N][N]`, rows are labels in the order of `classes`; `per_corpus` is
    empty for a single corpus.
    """

    folds: int
    folds_expected: int
    seeds: tuple[int, ...]
    clips: int
    subjects: int
    classes: tuple[str, ...]
    class_counts: dict[str, int]
    absent_classes: tuple[str, ...]
    uf1: Estimate
    uar: Estimate
    accuracy: Estimate
    per_class: dict[str, ClassScore]
    per_subject: dict[str, SubjectScore]
    confusion_per_seed: tuple[tuple[tuple[int, ...], ...], ...]
    per_corpus: dict[str, CorpusScore] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BaselineResult:
    """UF1 of a baseline, mean and sd over seeds, and the run minus it on the same clips; statistics as in `comparison.Pair`."""

    name: str
    uf1: float
    sd: float | None
    difference: float
    difference_sd: float | None
    interval: tuple[float, float]
    p: float
    p_holm: float
    effect: float | None


@dataclasses.dataclass(frozen=True)
class WayScore:
    """Score of one way to use the given clips, its 95% interval, and its difference from not using them (None for that way)."""

    mean: float
    interval: tuple[float, float]
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    p: float | None = None


@dataclasses.dataclass(frozen=True)
class EpisodeScores:
    """Scores of a protocol that gives `shots` labelled clips per class at test time.

    `skipped` folds allow no episode; `count` is the number of episodes or subjects that `ways` average over.
    """

    shots: int
    measure: str
    skipped: tuple[str, ...]
    ways: dict[str, WayScore]
    count: int


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run has found; `metrics.json` holds the same, with the fields of `scores` or `episodes` at its top level.

    Attributes:
      data: origin of the clips.
      method: name of the method.
      protocol: name of the protocol.
      title: the protocol and its data in words.
      macro: origin of the macro clips in words.
      missing: parts of the complete protocol that the data lack.
      rule: how test clips were predicted, in words.
      scores: of protocols without labelled test clips.
      episodes: of protocols with labelled test clips.
      baselines: paired comparisons with the baselines.
      notes: choices made in reading the data, and clips left out.
      training_seconds, compile_seconds: wall time of the training, and the part of it spent compiling.
    """

    data: DataSource
    method: str
    protocol: str
    title: str
    macro: str
    missing: tuple[str, ...]
    rule: str
    scores: Scores | None = None
    episodes: EpisodeScores | None = None
    baselines: tuple[BaselineResult, ...] = ()
    notes: tuple[str, ...] = ()
    training_seconds: float | None = None
    compile_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`."""
        content = as_json(self)
        scores, episodes = content.pop("scores"), content.pop("episodes")
        return {**content, **(scores or {}), **(episodes or {})}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RunResult":
        """The record of the content of `metrics.json`; errors as `records.from_json`."""
        own = {field.name for field in dataclasses.fields(cls)}
        parts: dict[str, Any] = {name: value for name, value in content.items() if name in own}
        rest = {name: value for name, value in content.items() if name not in own}
        return from_json(cls, {**parts, ("episodes" if "ways" in rest else "scores"): rest or None})

    def save(self, workdir: Path) -> None:
        """Write `metrics.json`; errors as `write_json`."""
        write_json(workdir / "metrics.json", self.to_json())


def read_result(workdir: Path) -> RunResult:
    """Read `metrics.json` of a finished run.

    Raises:
      ValueError: the file is damaged, or another version of this package has written it.
      OSError: the file cannot be read.
    """
    return RunResult.from_json(read_json(workdir / "metrics.json"))
