"""Training on simulated expressions only.

An SVM and the network are trained on the corpus `simulated_au`, which is simulated from action units, and tested on the public flow
release. No clip of the release is used for training; but the variations of the simulator were chosen by scores on these clips, so
the figures are not blind. The rows are the SVM, the SVM without one action unit, without one variation, and the network. With
measured heads they are those of `measured_training`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.claims.measured_training import measured_rows
from experiments.claims.subjects import MOTION, ROUNDS, Images, clip_set, read_flow_release
from experiments.claims.sweep import Row, Study
from experiments.claims.transfer import Labels, classes, network_decisions, rows_by_corpus, svm_decisions
from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.preparation.representation import motion_image
from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic import simulated_au
from lightman_jax.data.synthetic.emotion_units import COMBINATIONS
from lightman_jax.data.synthetic.patch_expressions import PatchVariation
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig
from lightman_jax.data.vision.optical_flow import optical_strain
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TrainConfig
from lightman_jax.types import ClipSet

SIMULATED = SimulatedAUConfig(subjects=60, micro_clips=10, macro_clips=2)
# Twice as wide and trained four times as long as by default.
NETWORK = NetworkConfig(backbone="conv4", normalisation="group", width=32)
NETWORK_STEPS = 400
METHODS = ("joint", "lightman")


def run(data_dir: Path | None, network: NetworkConfig, geometry: Path | None = None) -> Iterator[Row]:
    """Yield the rows: UF1 per simulated population, on all clips of the release and on those of each corpus."""
    assert data_dir is not None
    drawn = [simulate(seed) for seed in range(ROUNDS)]
    if geometry is not None:
        yield from measured_rows(data_dir, geometry, [micro for micro, _, _ in drawn])
        return
    real = read_flow_release(data_dir)

    def svm(micro: ClipSet, unit: int | None = None, clips: Sequence[RawClip] = ()) -> Labels:
        rows = [number for number, clip in enumerate(clips) if unit not in clip.action_units] or slice(None)
        return classes(svm_decisions(micro.image[rows], micro.label[rows], real.image))

    yield from rows_by_corpus("classifiers", "SVM", real, [svm(micro) for micro, _, _ in drawn])
    for unit in sorted({unit for name in EMOTIONS_3 for choice in COMBINATIONS[name] for unit in choice}):
        # Without a unit of every combination of a class, the class would have no clips.
        if all(
            any(unit not in choice for choice in choices) for choices in (COMBINATIONS[name] for name in EMOTIONS_3)
        ):
            predicted = [svm(micro, unit, clips) for micro, _, clips in drawn]
            yield from rows_by_corpus("without one action unit", str(unit), real, predicted)
    for field in dataclasses.fields(PatchVariation):
        if field.name != "noise_reach":
            none = dataclasses.replace(PatchVariation(), **{field.name: 0.0})
            predicted = [svm(simulate(seed, none)[0]) for seed in range(ROUNDS)]
            yield from rows_by_corpus("without one variation", field.name, real, predicted)
    for method in METHODS:
        config = TrainConfig(method=method_config(method, MethodConfig()), network=network, steps=NETWORK_STEPS)
        found = [network_decisions(micro, macro, real, config, seed) for seed, (micro, macro, _) in enumerate(drawn)]
        yield from rows_by_corpus("networks", method, real, [classes(one) for one in found])


def simulate(seed: int, variation: PatchVariation | None = None) -> tuple[ClipSet, ClipSet, list[RawClip]]:
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


STUDY = Study("Can simulated expressions replace real ones in training?", run, "flow", NETWORK, geometry=True)
