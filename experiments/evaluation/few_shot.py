"""Protocols with labelled clips at test time: `few_shot` and `personal`.

**few_shot**: subjects are dealt into groups; each group is held out from training in turn. From a held-out group come episodes:
its people are split at random into a support and a query side, K support clips of each class are drawn from the one and up to 5
query clips of each class from the other, so that nobody is on both sides. The score is the mean accuracy over episodes (classes
weigh alike) with its 95% interval.

**personal**: leave-one-subject-out; of each test subject K clips of each class are given with their labels, as far as there are so
many and one clip is left; the rest is predicted. Five draws a subject.

Both tell the same clips three ways: by the trained parameters as they are, adapted by level one to the labelled clips, and by
the nearest of the labelled clips' class means in the network's features. Episodes are written by name, in `episodes.jsonl`,
so that others can repeat them.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.cli.config import RunConfig
from experiments.evaluation.cross_validation import Work, train_jobs
from experiments.evaluation.groups import fold_without, group_of_subjects
from lightman_jax.data.corpora.records import DataError
from lightman_jax.files import write_whole
from lightman_jax.meta.adaptation import make_adapter
from lightman_jax.meta.methods import method_config
from lightman_jax.metrics import confusion_matrix, paired_difference, sign_flip_p_value, uf1
from lightman_jax.preprocessing import scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

QUERIES, PERSONAL_DRAWS = 5, 5
WAYS = ("not adapted", "adapted", "nearest class mean")
_TRIES, _AT_ONCE = 100, 64

Adapter = Callable[..., list[NDArray[np.float32]]]
"""From `make_adapter`."""


class Episode(NamedTuple):
    """Rows of the micro clips: labelled ones, and those to be predicted."""

    subject: str
    draw: int
    support: NDArray[np.int64]
    query: NDArray[np.int64]


def draw_few_shot(
    rng: np.random.Generator, clips: ClipSet, rows: NDArray[np.int64], shots: int, draw: int, group: str
) -> Episode | None:
    """One episode from the clips of a held-out group; None where a class lacks clips on either side in every split tried."""
    people = sorted({clips.subject[row] for row in rows})
    classes = range(len(clips.classes))
    for _ in range(_TRIES):
        side = dict(zip(people, rng.permutation(len(people)) < len(people) / 2, strict=True))
        on = np.array([side[clips.subject[row]] for row in rows])
        support = [rows[on & (clips.label[rows] == k)] for k in classes]
        query = [rows[~on & (clips.label[rows] == k)] for k in classes]
        if min(map(len, support)) >= shots and min(map(len, query)) >= 1:
            given = np.concatenate([rng.permutation(part)[:shots] for part in support])
            asked = np.concatenate([rng.permutation(part)[:QUERIES] for part in query])
            return Episode(group, draw, given, asked)
    return None


def draw_personal(
    rng: np.random.Generator, clips: ClipSet, rows: NDArray[np.int64], shots: int, draw: int, subject: str
) -> Episode | None:
    """K clips of each class of one person, and all that person's others; None for a person whose clips would all be given."""
    mixed = rng.permutation(rows)
    given = np.concatenate([mixed[clips.label[mixed] == k][:shots] for k in range(len(clips.classes))])
    asked = np.setdiff1d(rows, given)
    return Episode(subject, draw, np.sort(given), asked) if len(asked) else None


def run_episodes(work: Work, config: RunConfig, workdir: Path, console: Console) -> dict[str, Any]:
    """Train, draw the protocol's episodes, predict each in every way, and score.

    Writes `episodes.jsonl`.

    Returns:
      What `metrics.json` holds of it.

    Raises:
      DataError: no episode can be drawn.
    """
    part = episode_work(work, config)
    jobs = train_jobs(part, config.trained, workdir, console).jobs
    found: list[tuple[int, Episode, list[NDArray[np.int64]]]] = []
    skipped: set[str] = set()
    adapters = _adapters(config)
    for job in jobs:
        episodes = list(_draws(part, config, job.fold, job.seed))
        if not episodes:
            skipped.add(job.fold.name)
            continue
        guesses = _predict(work.micro, job, episodes, config.trained, adapters)
        found += [(job.seed, e, p) for e, p in zip(episodes, guesses, strict=True)]
    if not found:
        raise DataError(
            f"no episode of {config.shots_given} shot(s) a class can be drawn from these clips; lower --shots_given"
        )
    lines = [json.dumps(_line(work.micro, seed, episode, predictions)) for seed, episode, predictions in found]
    write_whole(workdir / "episodes.jsonl", "".join(line + "\n" for line in lines))
    scores = (_score_personal if config.protocol == "subject_calibration" else _score_few_shot)(work, found)
    return {"protocol": config.protocol, "shots": config.shots_given, "skipped": sorted(skipped), **scores}


def print_episodes(console: Console, metrics: dict[str, Any]) -> None:
    """Print the score of each way."""
    table = Table("way", metrics["measure"], "minus not adapted", title=f"{metrics['protocol']}, {metrics['rule']}")
    for name, row in metrics["ways"].items():
        low, high = row["interval"]
        difference = ""
        if "difference" in row:
            difference = (
                f"{row['difference']:+.3f} [{row['difference_interval'][0]:+.3f}, {row['difference_interval'][1]:+.3f}]"
            )
            difference += f", p {row['p']:.4f}" if "p" in row else ""
        table.add_row(name, f"{row['mean']:.3f} [{low:.3f}, {high:.3f}]", difference)
    console.print(table)
    if metrics["skipped"]:
        console.print(f"without an episode, too few clips: {', '.join(metrics['skipped'])}", style="yellow")


def episode_work(work: Work, config: RunConfig) -> Work:
    """What is trained: without each subject for `personal`, without each group of subjects for `few_shot`."""
    if config.protocol == "subject_calibration":
        return work
    of_subject = group_of_subjects(work.micro.subject)
    groups = sorted(set(of_subject.values()))
    return work._replace(folds=[fold_without({g}, work, of_subject, name=f"group {g}") for g in groups])


def _draws(work: Work, config: RunConfig, fold: Fold, seed: int) -> Iterator[Episode]:
    """Drawn from seed, fold and number alone: the same for every method."""
    personal = config.protocol == "subject_calibration"
    count = PERSONAL_DRAWS if personal else -(-config.episodes // (len(work.folds) * len(work.seeds)))
    draw: Callable[..., Episode | None] = draw_personal if personal else draw_few_shot
    for number in range(count):
        rng = np.random.default_rng([seed, zlib.crc32(fold.name.encode()), number])
        episode = draw(rng, work.micro, fold.test, config.shots_given, number, fold.name)
        if episode is not None:
            yield episode


def _adapters(config: RunConfig) -> list[Adapter]:
    """One of each of `WAYS`, made once, since each compiles programs of its own."""
    train = config.trained
    level = dataclasses.replace(train.method.bilevel, inner_steps=config.adapt_steps)
    adapting = dataclasses.replace(train.method, bilevel=level)
    still = dataclasses.replace(adapting, bilevel=dataclasses.replace(level, inner_steps=0))
    return [make_adapter(m, train.network) for m in (still, adapting, method_config("protonet", train.method))]


def _predict(
    micro: ClipSet, job: TrainedFold, episodes: Sequence[Episode], train: TrainConfig, adapters: Sequence[Adapter]
) -> list[list[NDArray[np.int64]]]:
    """Predicted classes of each episode's query clips in each of `WAYS`."""
    images = np.asarray(scale_flow(jnp.asarray(micro.image), scaling=train.scaling, train=jnp.asarray(job.fold.train)))
    results: list[list[NDArray[np.int64]]] = [[] for _ in episodes]
    for first in range(0, len(episodes), _AT_ONCE):
        some = episodes[first : first + _AT_ONCE]
        supports = [(images[e.support], micro.label[e.support]) for e in some]
        queries = [images[e.query] for e in some]
        for adapter in adapters:
            for row, probabilities in enumerate(adapter(job.params, supports, queries)):
                results[first + row].append(probabilities.argmax(axis=1))
    return results


def _line(micro: ClipSet, seed: int, episode: Episode, predictions: Sequence[NDArray[np.int64]]) -> dict[str, Any]:
    name = lambda rows: [micro.clip[row] for row in rows]  # noqa: E731
    guesses = {way: [micro.classes[k] for k in guess] for way, guess in zip(WAYS, predictions, strict=True)}
    of = {"fold": episode.subject, "seed": seed, "draw": episode.draw}
    labels = [micro.classes[k] for k in micro.label[episode.query]]
    return of | {"support": name(episode.support), "query": name(episode.query), "labels": labels, **guesses}


def _score_few_shot(work: Work, found: Sequence[tuple[int, Episode, list[NDArray[np.int64]]]]) -> dict[str, Any]:
    micro, classes = work.micro, len(work.micro.classes)
    rates = np.zeros((len(WAYS), len(found)))
    for row, (_, episode, predictions) in enumerate(found):
        truth = micro.label[episode.query]
        for way, guess in enumerate(predictions):
            rates[way, row] = np.mean([(guess[truth == k] == k).mean() for k in range(classes)])

    def interval(values: NDArray[np.float64]) -> list[float]:
        half = 1.96 * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
        return [float(values.mean() - half), float(values.mean() + half)]

    ways = {}
    for name, values in zip(WAYS, rates, strict=True):
        ways[name] = {"mean": float(values.mean()), "interval": interval(values)}
        if name != WAYS[0]:
            ways[name] |= {
                "difference": float((values - rates[0]).mean()),
                "difference_interval": interval(values - rates[0]),
            }
    return {
        "measure": "accuracy, classes alike, mean and 95% over episodes",
        "rule": f"{classes}-way, support and query from different people, {len(found)} episodes; by chance {1 / classes:.3f}",
        "episodes": len(found),
        "ways": ways,
    }


def _score_personal(work: Work, found: Sequence[tuple[int, Episode, list[NDArray[np.int64]]]]) -> dict[str, Any]:
    micro, classes = work.micro, len(work.micro.classes)
    subjects = sorted({episode.subject for _, episode, _ in found})
    draws = sorted({(seed, episode.draw) for seed, episode, _ in found})
    counts = np.zeros((len(WAYS), len(draws), len(subjects), classes, classes))
    for seed, episode, predictions in found:
        place = draws.index((seed, episode.draw)), subjects.index(episode.subject)
        for way, guess in enumerate(predictions):
            counts[way][place] += confusion_matrix(micro.label[episode.query], guess, classes)
    ways: dict[str, dict[str, Any]] = {}
    for way, name in enumerate(WAYS):
        zero = np.zeros_like(counts[way])
        mean = float(uf1(counts[way].sum(axis=1)).mean())
        _, low, high = paired_difference(counts[way], zero)
        ways[name] = {"mean": mean, "interval": [low, high]}
        if way:
            difference, low, high = paired_difference(counts[way], counts[0])
            p = sign_flip_p_value(counts[way], counts[0], replicates=1999)
            ways[name] |= {"difference": difference, "difference_interval": [low, high], "p": p}
    return {
        "measure": "UF1 of the clips that were not given [95%, subjects resampled]",
        "rule": f"{len(subjects)} people, {PERSONAL_DRAWS} draws each, K clips of each of their classes given",
        "subjects": len(subjects),
        "ways": ways,
    }
