"""Training on clips of measured heads only, without a real clip: their source, their sizes, their variations, and networks.

The default sizes and crops were chosen by scores on the clips that are tested. In the rows of `sizes chosen on` a corpus they were
not: all sizes of the variations and the crops are drawn at random from wide ranges; the crop of each release is the mean over the
draws with its best scores on the one corpus, and the sizes are those over the best scores of all releases. With these, populations
with other random numbers are simulated, and tested on the other corpora. Decision values of several releases are added.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.claims.subjects import MOTION, ROUNDS, Images, read_flow_release
from experiments.claims.sweep import Row
from experiments.claims.transfer import Decisions, Labels, classes, network_decisions, rows_by_corpus, svm_decisions
from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.preparation.parallel import each_clip
from lightman_jax.data.preparation.views import FALL, RELEASED_VIEWS, view_of
from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic.measured_expressions import Crop, MeasuredVariation
from lightman_jax.data.synthetic.simulated_au import (
    SimulatedAUConfig,
    estimated_flow,
    simulated_au_reading,
    simulated_flow,
)
from lightman_jax.data.vision.optical_flow import FlowMethod
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix, uf1
from lightman_jax.training.config import TrainConfig
from lightman_jax.types import ClipSet

CLIPS = SimulatedAUConfig(macro_clips=0)
FEWER, FEW = (SimulatedAUConfig(subjects=15, micro_clips=each, macro_clips=0) for each in (10, 7))
DRAWS, BEST = 40, 5
NETWORK = TrainConfig(method=method_config("joint", MethodConfig()))
METHODS: tuple[FlowMethod, ...] = ("farneback", "dis")
ERRORS = (MeasuredVariation(blur=0.0, noise=0.0, drift=0.0), MeasuredVariation())
SOURCES = [f"{flow}{errors}" for flow in ("exact", *METHODS) for errors in ("", ", errors added")]
SUM = "sum of those with errors"
ADDED = [f"{flow}, errors added" for flow in ("exact", *METHODS)]
# Exact flow is scaled with the face; the error of an estimator is not.
EXACT_SIDE, FACE_SIDE = 56, MOTION.face_side
RELEASES = dict(zip(("megc2019_rise", "causalnet_rise"), ("first release", "second release"), strict=True))
BOTH = "both releases"

RANGES = {
    **{"shift": (0.0, 10.0), "size": (0.0, 0.25), "asymmetry": (0.0, 0.7), "one_sided": (0.0, 0.3)},
    **{"stray": (0.0, 0.8), "blink": (0.0, 0.5), "gaze": (0.0, 0.3), "rotation": (0.0, 1.0), "nearer": (0.0, 0.006)},
    **{
        "blur": (0.0, 5.0),
        "noise": (0.1, 0.8),
        "noise_reach": (2.0, 10.0),
        "drift": (0.0, 0.6),
        "drift_reach": (10.0, 30.0),
    },
}
"""Ranges of the sizes that are drawn, in the units of `MeasuredVariation`."""
CROP_RANGES = {"y": (-1.0, 3.5), "half_width": (5.0, 9.5), "aspect": (0.95, 1.55)}
"""Ranges of the crops that are drawn, in centimetres; `aspect` is height by width."""


class Sizes(NamedTuple):
    """Sizes of the variations, and the crop of each view; None for those of the corpus."""

    variation: MeasuredVariation = MeasuredVariation()
    crops: tuple[Crop | None, ...] = (None, None)


class Task(NamedTuple):
    """A clip to simulate."""

    raw: RawClip
    sizes: Sizes
    views: tuple[str, ...]

    @property
    def clip(self) -> str:
        """Its name."""
        return self.raw.clip


class Population(NamedTuple):
    """Simulated images `[n, ..., V, H, W, 3]` of several views, and their classes."""

    images: Images
    labels: Labels


def measured_rows(data_dir: Path, geometry: Path, patches: Sequence[ClipSet]) -> Iterator[Row]:
    """Yield the rows: UF1 per simulated population.

    Args:
      data_dir: one or two flow releases, separated by a comma.
      geometry: neutral mesh.
      patches: micro clips of populations by patches.
    """
    real = read_flow_release(data_dir, every_view=True)
    names = real.views or RELEASED_VIEWS[:1]
    tests = {name: _of_view(real, place) for place, name in enumerate(names) if view_of(name).leg != FALL}
    panels = Panels(tests, geometry)
    yield from panels.classifiers()
    yield from panels.sources(patches)
    yield from panels.chosen_on_one_corpus()
    yield from panels.without_one_variation()


def _of_view(real: ClipSet, place: int) -> ClipSet:
    """The clips by one of their views; zero where a clip lacks it."""
    image = np.nan_to_num(real.image[:, place]) if real.views else real.image
    return dataclasses.replace(real, image=image, views=())


class Panels(NamedTuple):
    """Rows of each panel.

    Attributes:
      tests: the real clips by each view.
      geometry: neutral mesh.
    """

    tests: dict[str, ClipSet]
    geometry: Path

    @property
    def real(self) -> ClipSet:
        """The real clips by their first view."""
        return next(iter(self.tests.values()))

    def classifiers(self) -> Iterator[Row]:
        """Rows of the corpus as it is by default: an SVM, and the default network."""
        drawn = list(self.populations(flow_images, CLIPS, [Sizes()] * ROUNDS))
        found = {"SVM": [self.svm(one) for one in drawn]}
        found[f"network, {NETWORK.method.name}"] = [self.network(one, seed) for seed, one in enumerate(drawn)]
        yield from self.rows("classifiers", found)

    def sources(self, patches: Sequence[ClipSet]) -> Iterator[Row]:
        """Rows of the sources of the training clips, and of the added decision values of three of them."""
        count = FEWER.subjects * FEWER.micro_clips * len(EMOTIONS_3)
        kept = np.random.default_rng(0).permutation(len(patches[0]))[:count]
        alike = [Population(np.stack([one.image[kept]] * len(self.tests), axis=1), one.label[kept]) for one in patches]
        found = {"patches": [self.svm(one) for one in alike]} | {source: [] for source in SOURCES}
        for drawn in self.populations(source_images, FEWER, [Sizes()] * ROUNDS):
            for place, source in enumerate(SOURCES):
                found[source].append(self.svm(Population(drawn.images[:, place], drawn.labels)))
        found[SUM] = [sum(parts) for parts in zip(*(found[source] for source in ADDED), strict=True)]
        yield from self.rows("source of the training clips", found)

    def chosen_on_one_corpus(self) -> Iterator[Row]:
        """Rows of the sizes that are chosen on the clips of one corpus, tested on those of the others."""
        corpora = sorted(set(self.real.dataset))
        for corpus, sizes in self.chosen(corpora).items() if len(corpora) > 1 else ():
            found = [self.svm(drawn) for drawn in self.populations(flow_images, FEWER, [sizes] * ROUNDS)]
            others = [other for other in corpora if other != corpus]
            yield from self.rows(f"sizes chosen on {corpus}", {"SVM": found}, others)

    def chosen(self, corpora: Sequence[str]) -> dict[str, Sizes]:
        """The sizes by the scores on the clips of each of the corpora alone."""
        rng = np.random.default_rng(0)
        draws = [draw_sizes(rng, len(self.tests)) for _ in range(DRAWS)]
        found = [self.svm(drawn) for drawn in self.populations(flow_images, FEW, draws)]
        datasets = np.array(self.real.dataset)
        return {corpus: mean_of_best(draws, self.scores(found, datasets == corpus)) for corpus in corpora}

    def scores(self, found: Sequence[Decisions], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """UF1 `[draws, V + 1]` of some clips by each view, and by all."""
        every = np.concatenate([np.stack(found), np.sum(found, axis=1, keepdims=True)], axis=1)[:, :, rows]
        label = self.real.label[rows]
        return np.array(
            [[float(uf1(confusion_matrix(label, classes(one), len(EMOTIONS_3)))) for one in own] for own in every]
        )

    def without_one_variation(self) -> Iterator[Row]:
        """Rows of fewer clips without a variation."""
        names = [field.name for field in dataclasses.fields(MeasuredVariation) if not field.name.endswith("_reach")]
        changes: dict[str, dict[str, float]] = {"nothing": {}} | {name: {name: 0.0} for name in names}
        sizes = [Sizes(MeasuredVariation(**change)) for change in changes.values() for _ in range(ROUNDS)]
        decisions = [self.svm(drawn) for drawn in self.populations(flow_images, FEW, sizes)]
        found = {name: decisions[number * ROUNDS :][:ROUNDS] for number, name in enumerate(changes)}
        yield from self.rows("without one variation", found)

    def populations(
        self, function: Callable[[Task], Images], size: SimulatedAUConfig, sizes: Sequence[Sizes]
    ) -> Iterator[Population]:
        """Populations of as many sizes, each with its own random numbers that repeat after `ROUNDS`."""
        own = [dataclasses.replace(size, geometry=self.geometry, seed=number % ROUNDS) for number in range(len(sizes))]
        readings = [simulated_au_reading(config).clips for config in own]
        tasks = [Task(c, one, tuple(self.tests)) for one, clips in zip(sizes, readings, strict=True) for c in clips]
        images: dict[int, Images] = {}
        for place, image in each_clip(function, tasks):
            if isinstance(image, Exception):
                raise image
            images[place] = image
        for start in range(0, len(tasks), len(readings[0])):
            places = range(start, start + len(readings[0]))
            labels = [EMOTIONS_3.index(tasks[place].raw.emotion) for place in places]
            yield Population(np.stack([images.pop(place) for place in places]), np.array(labels, np.int32))

    def svm(self, drawn: Population) -> Decisions:
        """Decision values `[V, n, classes]` of the real clips by each view."""
        found = [
            svm_decisions(drawn.images[:, v], drawn.labels, real.image) for v, real in enumerate(self.tests.values())
        ]
        return np.stack(found)

    def network(self, drawn: Population, seed: int) -> Decisions:
        """Log-probabilities `[V, n, classes]` of the real clips by each view."""
        clip = tuple(f"simulated_au/p/{number}" for number in range(len(drawn.labels)))
        subject = ("simulated_au/p",) * len(clip)
        found = []
        for view, real in enumerate(self.tests.values()):
            micro = ClipSet(drawn.images[:, view], drawn.labels, subject, clip, EMOTIONS_3)
            found.append(network_decisions(micro, None, real, NETWORK, seed))
        return np.stack(found)

    def rows(self, panel: str, found: Mapping[str, Sequence[Decisions]], parts: Sequence[str] = ()) -> Iterator[Row]:
        """Rows of the decision values `[V, n, classes]` of each population by each view, and by all views if there are more."""
        for place, name in enumerate((*self.tests, BOTH) if len(self.tests) > 1 else self.tests):
            for level, decisions in found.items():
                predicted = [classes(one.sum(axis=0) if name == BOTH else one[place]) for one in decisions]
                yield from rows_by_corpus(f"{panel}, {RELEASES.get(name, name)}", level, self.real, predicted, parts)


def flow_images(task: Task) -> Images:
    """Flow `[V, H, W, 3]` of each view with errors."""
    clip, (variation, crops), views = task
    pairs = [(view_of(name), crop) for name, crop in zip(views, crops, strict=False)]
    return np.stack(
        [
            simulated_flow(clip, EXACT_SIDE, MOTION.image_side, view, variation=variation, crop=crop)
            for view, crop in pairs
        ]
    )


def source_images(task: Task) -> Images:
    """Flow `[sources, V, H, W, 3]` of each of `SOURCES` and each view."""
    clip, side = task.raw, MOTION.image_side
    found = []
    for view in map(view_of, task.views):
        exact = [simulated_flow(clip, EXACT_SIDE, side, view, variation=one) for one in ERRORS]
        estimated = [estimated_flow(clip, FACE_SIDE, side, view, name, one) for name in METHODS for one in ERRORS]
        found.append(exact + estimated)
    return np.stack(found, axis=1)


def draw_sizes(rng: np.random.Generator, views: int) -> Sizes:
    """Draw all sizes from `RANGES`, and a crop of each view from `CROP_RANGES`."""
    drawn = lambda ranges: {name: float(rng.uniform(*ends)) for name, ends in ranges.items()}  # noqa: E731
    variation = MeasuredVariation(**drawn(RANGES))
    crops = [drawn(CROP_RANGES) for _ in range(views)]
    return Sizes(
        variation, tuple(Crop(0.0, one["y"], one["half_width"], one["half_width"] * one["aspect"]) for one in crops)
    )


def mean_of_best(draws: Sequence[Sizes], scores: NDArray[np.float64]) -> Sizes:
    """Means over the best draws: of the variations by the last of the scores `[draws, V + 1]`, of each crop by that of its view."""
    best = np.argsort(-scores, axis=0, kind="stable")[:BEST]
    mean = lambda rows: np.mean(np.asarray(rows, np.float64), axis=0).tolist()  # noqa: E731
    variation = MeasuredVariation(*mean([dataclasses.astuple(draws[row].variation) for row in best[:, -1]]))
    crops = [mean([draws[row].crops[view] for row in best[:, view]]) for view in range(scores.shape[1] - 1)]
    return Sizes(variation, tuple(Crop(*one) for one in crops))
