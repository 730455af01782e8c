"""Training on simulated expressions only.

An SVM and the network are trained on the corpus `simulated_au`, which is simulated from action units, and tested on the public flow
release. No clip of the release is used for training; but the variations of the simulator were chosen by scores on these clips, so
the figures are not blind. The rows are the SVM, the SVM without one action unit, without one variation, and the network.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from experiments.claims.contenders import Contender, count_by_subject
from experiments.claims.subjects import MOTION, ROUNDS, Images, StudyData, clip_set, read_flow_release
from experiments.claims.sweep import Row, Study, make_row
from lightman_jax.data.preparation.representation import motion_image
from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic import simulated_au
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig, Variation
from lightman_jax.data.vision.optical_flow import optical_strain
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import predict_folds, train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

SIMULATED = SimulatedAUConfig(subjects=60, micro_clips=10, macro_clips=2)
# Twice as wide and trained four times as long as by default.
NETWORK = NetworkConfig(backbone="conv4", normalisation="group", width=32)
NETWORK_STEPS = 400
METHODS = ("joint", "lightman")
Labels = NDArray[np.int32]


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows: UF1 per simulated population, on all clips of the release and on those of each corpus."""
    assert data_dir is not None
    real = read_flow_release(data_dir)

    def svm(micro: ClipSet, unit: int | None = None, clips: Sequence[RawClip] = ()) -> Labels:
        rows = [number for number, clip in enumerate(clips) if unit not in clip.action_units] or slice(None)
        return train_classical(micro.image[rows], micro.label[rows], real.image)

    drawn = [simulate(seed) for seed in range(ROUNDS)]
    yield from rows_by_corpus("classifiers", "SVM", real, [svm(micro) for micro, _, _ in drawn])
    for unit in sorted({unit for units in simulated_au.COMBINATIONS.values() for choice in units for unit in choice}):
        # Without a unit of every combination of a class, the class would have no clips.
        if all(any(unit not in choice for choice in choices) for choices in simulated_au.COMBINATIONS.values()):
            predicted = [svm(micro, unit, clips) for micro, _, clips in drawn]
            yield from rows_by_corpus("without one action unit", str(unit), real, predicted)
    for field in dataclasses.fields(Variation):
        if field.name != "noise_reach":
            none = dataclasses.replace(Variation(), **{field.name: 0.0})
            predicted = [svm(simulate(seed, none)[0]) for seed in range(ROUNDS)]
            yield from rows_by_corpus("without one variation", field.name, real, predicted)
    for method in METHODS:
        config = TrainConfig(method=method_config(method, MethodConfig()), network=network, steps=NETWORK_STEPS)
        predicted = [train_network(micro, macro, real, config, seed) for seed, (micro, macro, _) in enumerate(drawn)]
        yield from rows_by_corpus("networks", method, real, predicted)


def simulate(seed: int, variation: Variation | None = None) -> tuple[ClipSet, ClipSet, list[RawClip]]:
    """Micro and macro clips of a population, and the records of the micro clips; `variation` replaces that of the corpus."""

    def image(clip: RawClip) -> Images:
        if variation is None:
            return motion_image(clip, MOTION).image
        field = simulated_au.simulated_field(clip, MOTION.image_side, variation)
        return np.dstack([field, optical_strain(field)]).astype(np.float32)

    clips = simulated_au.simulated_au_reading(dataclasses.replace(SIMULATED, seed=seed)).clips
    pools = {pool: [clip for clip in clips if clip.pool == pool] for pool in ("micro", "macro")}
    micro, macro = (clip_set((image(c), c.emotion, c.subject, c.clip) for c in own) for own in pools.values())
    return micro, macro, pools["micro"]


def train_classical(images: Images, labels: Labels, test: Images) -> Labels:
    """Predicted classes of an RBF SVM on scaled flow; decisions are the mean over a clip and its mirror image."""
    scaled, mirrored = scale_flow(jnp.asarray(images)), mirror_flow(scale_flow(jnp.asarray(test)))
    flat = lambda x: np.asarray(x).reshape(len(x), -1)  # noqa: E731
    svm = SVC(C=3.0, decision_function_shape="ovr").fit(flat(scaled), labels)
    decisions = [svm.decision_function(flat(scale_flow(one))) for one in (jnp.asarray(test), mirrored)]
    return np.asarray(np.mean(decisions, axis=0).argmax(axis=1), np.int32)


def train_network(micro: ClipSet, macro: ClipSet, real: ClipSet, config: TrainConfig, seed: int) -> Labels:
    """Predicted classes of the real clips by a network that is trained on the simulated clips."""
    both = micro.join(real)
    simulated = np.arange(len(both)) < len(micro)
    fold = Fold("real", np.flatnonzero(~simulated), simulated, np.ones(len(macro), bool))
    (job,) = train_folds(both, macro, [fold], [seed], config)
    (probabilities,) = predict_folds([(job.fold, job.params)], both.image, config)
    return np.asarray(probabilities.argmax(axis=1), np.int32)


def rows_by_corpus(panel: str, level: str, real: ClipSet, predicted: Sequence[Labels]) -> Iterator[Row]:
    """Rows of the predictions of each population, on all real clips and on the clips of each corpus."""
    corpora = np.array(real.dataset)
    fold = Fold("real", np.arange(len(real)), np.zeros(len(real), bool), np.zeros(0, bool))
    data = StudyData("", real, None, [[fold]], {}, same_subjects=True)
    for part in ("all", *sorted(set(real.dataset))):
        rows = np.flatnonzero((corpora == part) | (part == "all"))
        counts = count_by_subject(real, [[rows]] * len(predicted), [[labels[rows]] for labels in predicted])
        yield make_row(panel, level, Contender(part), data, counts)


STUDY = Study("Can simulated expressions replace real ones in training?", run, "flow", NETWORK)
