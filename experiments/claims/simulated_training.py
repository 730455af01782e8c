"""`python -m experiments.claims.simulated_training --data_dir=FLOW [--seeds=5] [--out=FILE]`: learn from simulated expressions alone.

A support-vector machine and the product's network are trained on the corpus `simulated_au`, which is simulated from action units, and
tested on the public flow release. No clip of the release is trained on; but the sizes of the simulator's variations were chosen
while looking at scores on these clips, so the figures are not blind.

Prints and keeps: the machine over the seeds; what remains without one action unit, without one variation; the network.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.catalog import PROTOCOLS
from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.corpora.records import DataError, RawClip
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.data.synthetic.simulated_au import (
    COMBINATIONS,
    SimulatedAUConfig,
    Variation,
    simulated_au_reading,
    simulated_field,
)
from lightman_jax.data.vision.optical_flow import optical_strain
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix, uf1
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import predict_folds, train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

TRAINED_ON = "simulated_au: simulated from action units, no clip of a corpus"
SIMULATED = SimulatedAUConfig(people=60, micro_clips=10, macro_clips=2)
NETWORK = NetworkConfig(backbone="conv4", normalisation="group", width=32)
NETWORK_STEPS = 400
Images = NDArray[np.float32]


def simulate(seed: int, variation: Variation | None = None) -> tuple[ClipSet, ClipSet, list[RawClip]]:
    """Micro and macro clips of one seed as the preparation would store them, and the records of the micro clips."""
    clips = simulated_au_reading(dataclasses.replace(SIMULATED, seed=seed)).clips
    pools = {pool: [clip for clip in clips if clip.pool == pool] for pool in ("micro", "macro")}
    micro, macro = (_clip_set(own, variation) for own in pools.values())
    return micro, macro, pools["micro"]


def train_classical(images: Images, labels: NDArray[np.int32], test: Images) -> NDArray[np.int32]:
    """Classes of the test clips by an RBF machine on scaled flow, mean decision over a clip and its mirror image."""
    from sklearn.svm import SVC

    machine = SVC(C=3.0, decision_function_shape="ovr").fit(_flat(images), labels)
    views = (test, np.asarray(mirror_flow(jnp.asarray(_centred(test)))))
    return np.asarray(
        np.mean([machine.decision_function(_flat(view)) for view in views], axis=0).argmax(axis=1), np.int32
    )


def train_network(micro: ClipSet, macro: ClipSet, real: ClipSet, method: str, seed: int) -> NDArray[np.int32]:
    """Classes of the test clips by the product's network, twice as wide and trained four times as long as by default."""
    both = ClipSet(
        np.concatenate([micro.image, real.image]),
        np.concatenate([micro.label, real.label]),
        (*micro.subject, *real.subject),
        (*micro.clip, *real.clip),
        EMOTIONS_3,
    )
    simulated = np.arange(len(both)) < len(micro)
    fold = Fold("real", np.flatnonzero(~simulated), simulated, np.ones(len(macro), bool))
    config = TrainConfig(method=method_config(method, MethodConfig()), network=NETWORK, steps=NETWORK_STEPS)
    (job,) = train_folds(both, macro, [fold], [seed], config)
    (probabilities,) = predict_folds([(job.fold, job.params)], both.image, config)
    return np.asarray(probabilities.argmax(axis=1), np.int32)


def run(real: ClipSet, seeds: int) -> Iterator[dict[str, Any]]:
    """Every row of the three tables, as it is done."""

    def row(table: str, name: str, predicted: Sequence[NDArray[np.int32]]) -> dict[str, Any]:
        scores = [_scores(real, guess) for guess in predicted]
        summary = {}
        for part in scores[0]:
            values = [score[part] for score in scores]
            summary[part] = {
                "mean": float(np.mean(values)),
                "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            }
        return {"trained_on": TRAINED_ON, "table": table, "name": name, "seeds": len(predicted), "uf1": summary}

    def machine(clips: ClipSet) -> NDArray[np.int32]:
        return train_classical(clips.image, clips.label, real.image)

    drawn = [simulate(seed) for seed in range(seeds)]
    yield row("learners", "support-vector machine", [machine(micro) for micro, _, _ in drawn])
    for unit in sorted({unit for units in COMBINATIONS.values() for choice in units for unit in choice}):
        # Without a unit that every choice of a class has, the class would be gone.
        if all(any(unit not in choice for choice in choices) for choices in COMBINATIONS.values()):
            kept = [_rows(micro, [unit not in clip.action_units for clip in clips]) for micro, _, clips in drawn]
            yield row("without the action unit", str(unit), [machine(micro) for micro in kept])
    for field in dataclasses.fields(Variation):
        if field.name != "noise_reach":
            none = dataclasses.replace(Variation(), **{field.name: 0.0})
            yield row("without the variation", field.name, [machine(simulate(seed, none)[0]) for seed in range(seeds)])
    for method in ("joint", "lightman"):
        guesses = [train_network(micro, macro, real, method, seed) for seed, (micro, macro, _) in enumerate(drawn)]
        yield row("learners", f"network, {method}", guesses)


def read_real(data_dir: Path) -> ClipSet:
    """Every clip of the flow release that is there, with the labels of MEGC2019."""
    reading = read_corpus("megc2019", data_dir)
    if reading.layout != "flow_release":
        raise DataError(f"{data_dir} holds no flow release; give the folder of the public 28x28 flow by --data_dir")
    return _clip_set(list(reading.clips), None)


def _clip_set(clips: Sequence[RawClip], variation: Variation | None) -> ClipSet:
    config = MotionConfig()
    images = []
    for clip in clips:
        if variation is None:
            images.append(motion_image(clip, config).image)
        else:
            field = simulated_field(clip, config.image_side, variation)
            images.append(np.dstack([field, optical_strain(field)]).astype(np.float32))
    label = np.array([EMOTIONS_3.index(clip.emotion) for clip in clips], np.int32)
    return ClipSet(np.stack(images), label, tuple(c.subject for c in clips), tuple(c.clip for c in clips), EMOTIONS_3)


def _rows(clips: ClipSet, keep: Sequence[bool]) -> ClipSet:
    index = np.flatnonzero(keep)
    names = [tuple(field[row] for row in index) for field in (clips.subject, clips.clip)]
    return ClipSet(clips.image[index], clips.label[index], names[0], names[1], clips.classes)


def _centred(images: Images) -> Images:
    return np.asarray(scale_flow(jnp.asarray(images)))


def _flat(images: Images) -> Images:
    return _centred(images).reshape(len(images), -1)


def _scores(real: ClipSet, guess: NDArray[np.int32]) -> dict[str, float]:
    corpora = np.array(real.dataset)
    parts = {"all": np.ones(len(real), bool), **{name: corpora == name for name in sorted(set(real.dataset))}}
    return {
        name: float(uf1(confusion_matrix(real.label[rows], guess[rows], len(EMOTIONS_3))))
        for name, rows in parts.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 with one line on standard error if the folder holds no flow release."""
    words = sys.argv[1:] if argv is None else list(argv)
    remedy = "Give a file that can be written by --out"
    return run_command("experiments.claims.simulated_training", words, lambda: _run(words), remedy=remedy)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("simulated_training", __doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder of the public flow release")
    parser.add_argument("--seeds", type=int, default=5, help="simulated populations and trainings")
    parser.add_argument("--out", type=Path, default=Path("runs") / "simulated_training.jsonl", help="JSON lines")
    options = parser.parse_args(words)
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    real = read_real(options.data_dir)
    title = PROTOCOLS["megc2019"].title
    print(f"trained on {TRAINED_ON}; tested on {len(real)} clips of {', '.join(sorted(set(real.dataset)))} ({title})")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="utf-8") as file:
        for row in run(real, options.seeds):
            file.write(json.dumps(row) + "\n")
            file.flush()
            text = ", ".join(
                f"{part} {value['mean']:.3f}" + ("" if value["sd"] is None else f" ± {value['sd']:.3f}")
                for part, value in row["uf1"].items()
            )
            print(f"{row['table']} | {row['name']}: UF1 {text}", flush=True)
    print(f"results: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
