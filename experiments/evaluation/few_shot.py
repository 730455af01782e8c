"""Protocols with labelled clips at test time: `few_shot` and `subject_calibration`.

**few_shot**: each group of subjects is held out from training in turn. An episode splits the subjects of a held-out group at random
into a support and a query side, and draws K support clips per class from one side and up to 5 query clips per class from the other;
no subject is on both sides. The score is the balanced accuracy, mean over episodes, with its 95% interval.

**subject_calibration**: leave-one-subject-out; K clips per class of each test subject are given with their labels, as far as the
subject has them, and the subject's remaining clips are predicted. Five draws per subject.

Both predict the same query clips in three ways: with the parameters as trained, with parameters adapted to the support clips by the
inner loop, and by the nearest class mean of the support clips in the network's embedding. `episodes.jsonl` lists the clips of every
episode.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiments.cli.config import RunConfig
from experiments.evaluation.cross_validation import Work, train_jobs
from experiments.evaluation.plan import PlannedRun
from experiments.evaluation.run_result import EpisodeScores, RunResult, WayScore
from lightman_jax.data.records import DataError
from lightman_jax.files import write_atomic
from lightman_jax.meta.adaptation import make_adapter
from lightman_jax.meta.methods import method_config
from lightman_jax.metrics import confusion_matrix, paired_difference, sign_flip_p_value, uf1
from lightman_jax.training.clip_scale import scaled_reader
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

QUERIES, DRAWS_PER_SUBJECT = 5, 5
WAYS = ("not adapted", "adapted", "nearest class mean")
_SPLITS_TRIED, _EPISODES_PER_CALL = 100, 64

Adapter = Callable[..., list[NDArray[np.float32]]]
"""From `make_adapter`."""


class Episode(NamedTuple):
    """Rows of the micro clips: `support` with labels, `query` to predict; `fold` and `draw` identify the episode."""

    fold: str
    draw: int
    support: NDArray[np.int64]
    query: NDArray[np.int64]


class Predicted(NamedTuple):
    """An episode under one seed, and the predicted classes of its query clips in each of `WAYS`."""

    seed: int
    episode: Episode
    predictions: list[NDArray[np.int64]]


class Design(NamedTuple):
    """How a protocol draws and scores episodes.

    Attributes:
      draw: an episode from a random generator, the clips, a fold, the shots and the number of the draw; None if impossible.
      draws_per_fold: number of draws, from the settings and the work.
      score: a function of the clips and all predicted episodes.
    """

    draw: Callable[[np.random.Generator, ClipSet, Fold, int, int], Episode | None]
    draws_per_fold: Callable[[RunConfig, Work], int]
    score: Callable[[ClipSet, Sequence[Predicted]], "Scored"]


class Scored(NamedTuple):
    """Name of the measure, rule of the evaluation in words, scores by way, and the number of episodes or subjects."""

    measure: str
    rule: str
    ways: dict[str, WayScore]
    units: int


def draw_few_shot(rng: np.random.Generator, clips: ClipSet, fold: Fold, shots: int, draw: int) -> Episode | None:
    """An episode of a held-out group of subjects; None if no split with enough clips of each class on both sides was found."""
    rows = fold.test
    subjects = sorted({clips.subject[row] for row in rows})
    classes = range(len(clips.classes))
    for _ in range(_SPLITS_TRIED):
        in_support = dict(zip(subjects, rng.permutation(len(subjects)) < len(subjects) / 2, strict=True))
        side = np.array([in_support[clips.subject[row]] for row in rows])
        support = [rows[side & (clips.label[rows] == k)] for k in classes]
        query = [rows[~side & (clips.label[rows] == k)] for k in classes]
        if min(map(len, support)) >= shots and min(map(len, query)) >= 1:
            drawn = np.concatenate([rng.permutation(part)[:shots] for part in support])
            return Episode(fold.name, draw, drawn, np.concatenate([rng.permutation(part)[:QUERIES] for part in query]))
    return None


def draw_subject_calibration(
    rng: np.random.Generator, clips: ClipSet, fold: Fold, shots: int, draw: int
) -> Episode | None:
    """Support: K clips per class of a test subject; query: the subject's other clips; None if there are no other clips."""
    mixed = rng.permutation(fold.test)
    support = np.concatenate([mixed[clips.label[mixed] == k][:shots] for k in range(len(clips.classes))])
    query = np.setdiff1d(fold.test, support)
    return Episode(fold.name, draw, np.sort(support), query) if len(query) else None


def evaluate_episodes(run: PlannedRun, design: Design, workdir: Path, console: Console) -> RunResult:
    """Train, draw episodes, predict each in every way, and score; writes `episodes.jsonl`.

    Raises:
      DataError: no episode can be drawn.
    """
    config, work = run.config, run.work
    jobs = train_jobs(work, config.trained, workdir, console).jobs
    found: list[Predicted] = []
    skipped: set[str] = set()
    adapters = _adapters(config)
    for job in jobs:
        seed = work.seed_of(job.replica)
        episodes = list(_draw_episodes(design, work, config, job.fold, seed))
        if not episodes:
            skipped.add(job.fold.name)
            continue
        predictions = _predict(work.micro, job, episodes, config.trained, adapters)
        found += [Predicted(seed, *pair) for pair in zip(episodes, predictions, strict=True)]
    if not found:
        raise DataError(
            f"these clips allow no episode with {config.shots_given} support clips per class; choose a lower --shots_given"
        )
    lines = [json.dumps(_as_json(work.micro, one)) for one in found]
    write_atomic(workdir / "episodes.jsonl", "".join(line + "\n" for line in lines))
    scored = design.score(work.micro, found)
    scores = EpisodeScores(config.shots_given, scored.measure, tuple(sorted(skipped)), scored.ways, scored.units)
    return dataclasses.replace(run.result(scored.rule), episodes=scores)


def _draw_episodes(design: Design, work: Work, config: RunConfig, fold: Fold, seed: int) -> Iterator[Episode]:
    """Episodes depend only on seed, fold and number, so they are the same for every method."""
    for number in range(design.draws_per_fold(config, work)):
        rng = np.random.default_rng([seed, zlib.crc32(fold.name.encode()), number])
        episode = design.draw(rng, work.micro, fold, config.shots_given, number)
        if episode is not None:
            yield episode


def _adapters(config: RunConfig) -> list[Adapter]:
    """One adapter for each of `WAYS`; made once, because each compiles its own programs."""
    train = config.trained
    bilevel = dataclasses.replace(train.method.bilevel, inner_steps=config.adapt_steps)
    adapted = dataclasses.replace(train.method, bilevel=bilevel)
    unadapted = dataclasses.replace(adapted, bilevel=dataclasses.replace(bilevel, inner_steps=0))
    methods = (unadapted, adapted, method_config("protonet", train.method))
    return [make_adapter(method, train.network) for method in methods]


def _predict(
    micro: ClipSet, job: TrainedFold, episodes: Sequence[Episode], train: TrainConfig, adapters: Sequence[Adapter]
) -> list[list[NDArray[np.int64]]]:
    """Predicted classes of each episode's query clips in each of `WAYS`."""
    read = scaled_reader(micro.image, train, job.fold.train, views=False)
    results: list[list[NDArray[np.int64]]] = [[] for _ in episodes]
    for first in range(0, len(episodes), _EPISODES_PER_CALL):
        part = episodes[first : first + _EPISODES_PER_CALL]
        supports = [(read(e.support), micro.label[e.support]) for e in part]
        queries = [read(e.query) for e in part]
        for adapter in adapters:
            for row, probabilities in enumerate(adapter(job.params, supports, queries)):
                results[first + row].append(probabilities.argmax(axis=1))
    return results


def _as_json(micro: ClipSet, one: Predicted) -> dict[str, Any]:
    episode = one.episode
    predicted = {way: [micro.classes[k] for k in own] for way, own in zip(WAYS, one.predictions, strict=True)}
    return {
        "fold": episode.fold,
        "seed": one.seed,
        "draw": episode.draw,
        "support": [micro.clip[row] for row in episode.support],
        "query": [micro.clip[row] for row in episode.query],
        "labels": [micro.classes[k] for k in micro.label[episode.query]],
        **predicted,
    }


def _score_few_shot(micro: ClipSet, found: Sequence[Predicted]) -> Scored:
    """Balanced accuracies with normal intervals over episodes."""
    accuracies = np.zeros((len(WAYS), len(found)))
    for column, (_, episode, predictions) in enumerate(found):
        truth = micro.label[episode.query]
        for row, predicted in enumerate(predictions):
            recalls = [(predicted[truth == k] == k).mean() for k in range(len(micro.classes))]
            accuracies[row, column] = np.mean(recalls)

    def mean(values: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
        half = 1.96 * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
        return float(values.mean()), (float(values.mean() - half), float(values.mean() + half))

    scores = {WAYS[0]: WayScore(*mean(accuracies[0]))}
    for name, own in zip(WAYS[1:], accuracies[1:], strict=True):
        scores[name] = WayScore(*mean(own), *mean(own - accuracies[0]))
    classes = len(micro.classes)
    rule = f"{classes}-way, support and query from different subjects, {len(found)} episodes; chance level {1 / classes:.3f}"
    return Scored("balanced accuracy, mean and 95% interval over episodes", rule, scores, len(found))


def _score_subject_calibration(micro: ClipSet, found: Sequence[Predicted]) -> Scored:
    """Pooled UF1 of the query clips with subject-bootstrap intervals."""
    classes = len(micro.classes)
    subjects = sorted({episode.fold for _, episode, _ in found})
    draws = sorted({(seed, episode.draw) for seed, episode, _ in found})
    counts = np.zeros((len(WAYS), len(draws), len(subjects), classes, classes))
    for seed, episode, predictions in found:
        place = draws.index((seed, episode.draw)), subjects.index(episode.fold)
        for way, predicted in enumerate(predictions):
            counts[way][place] += confusion_matrix(micro.label[episode.query], predicted, classes)
    ways = {}
    for way, name in enumerate(WAYS):
        _, low, high = paired_difference(counts[way], np.zeros_like(counts[way]))
        ways[name] = WayScore(float(uf1(counts[way].sum(axis=1)).mean()), (low, high))
        if way > 0:
            difference, low, high = paired_difference(counts[way], counts[0])
            p = sign_flip_p_value(counts[way], counts[0], replicates=1999)
            ways[name] = dataclasses.replace(ways[name], difference=difference, difference_interval=(low, high), p=p)
    rule = f"{len(subjects)} subjects, {DRAWS_PER_SUBJECT} draws each, up to K labelled clips per class given"
    return Scored("UF1 of the query clips [95% subject bootstrap]", rule, ways, len(subjects))


FEW_SHOT = Design(
    draw_few_shot,
    lambda config, work: -(-config.episodes // (len(work.folds) * len(work.seeds))),
    _score_few_shot,
)
SUBJECT_CALIBRATION = Design(draw_subject_calibration, lambda *_: DRAWS_PER_SUBJECT, _score_subject_calibration)
