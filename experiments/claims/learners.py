"""What learns in an experiment: a method of the package with some settings changed, or a support-vector machine."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from experiments.claims.people import Stage
from experiments.evaluation.baselines import CLASSICAL_BASELINES
from experiments.evaluation.machines import fit_one
from lightman_jax.meta.adaptation import make_adapter
from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import MacroLabels, TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import predict_folds, train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet, Params

Counts = NDArray[np.int64]
ADAPT_STEPS = 5
Asked = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows of clips that are given with their labels, and rows that are asked for."""


@dataclasses.dataclass(frozen=True)
class Learner:
    """One row of a table.

    Attributes:
      name: what the row is called.
      method: one of `lightman_jax.METHODS`, or of scikit-learn's baselines.
      changes: settings of the method that differ from its defaults; those of level one by their own names.
      network: settings of the network that differ.
      macro_labels: true, or shuffled within each fold.
      macro_shots: macro clips a class of a task.
      macro: the stage's macro clips; none, so that the training clips magnified stand in for them; or those clips
        as further labelled clips.
    """

    name: str
    method: str = "lightman"
    changes: tuple[tuple[str, Any], ...] = ()
    network: tuple[tuple[str, Any], ...] = ()
    macro_labels: MacroLabels = "true"
    macro_shots: int = TaskConfig().macro_shots
    macro: Literal["given", "none", "labelled"] = "given"

    def config(self, network: NetworkConfig) -> TrainConfig:
        """The training settings; `network` is that of the whole experiment."""
        levels = {field.name for field in dataclasses.fields(BilevelConfig)}
        level = BilevelConfig(**{name: value for name, value in self.changes if name in levels})
        method = MethodConfig(bilevel=level, **{name: value for name, value in self.changes if name not in levels})
        return TrainConfig(
            method=method_config(self.method, method),
            network=dataclasses.replace(network, **dict(self.network)),
            task=TaskConfig(macro_shots=self.macro_shots),
            macro_labels=self.macro_labels,
        )


class Evaluation(NamedTuple):
    """What a learner says of the test clips: `[rounds, people, N, N]` counts as filmed, and through each other camera."""

    counts: Counts
    views: dict[str, Counts]


USUAL = (Learner("lightman"), Learner("maml", "maml"), Learner("joint", "joint"), Learner("RBF machine", "rbf_svm"))
"""The first is the one that the others are compared with."""


def evaluate(learner: Learner, stage: Stage, network: NetworkConfig) -> Evaluation:
    """Train in every round and count the predictions for its test clips, through each of the stage's cameras."""
    if learner.macro == "none":
        rounds = [[dataclasses.replace(fold, macro_train=fold.train) for fold in folds] for folds in stage.rounds]
        stage = stage._replace(macro=None, rounds=rounds)
    elif learner.macro == "labelled":
        stage = _with_macro_labelled(stage)
    views = {name: _padded(image, stage.micro.image) for name, image in stage.views.items()}
    images = {"": stage.micro.image, **views}
    guesses = (
        _machine(learner, stage, images)
        if learner.method in CLASSICAL_BASELINES
        else _network(learner, stage, images, network)
    )
    tested = [[fold.test for fold in folds] for folds in stage.rounds]
    counts = {name: _count(stage.micro, tested, guess) for name, guess in guesses.items()}
    return Evaluation(counts.pop(""), counts)


def train_rounds(learner: Learner, stage: Stage, network: NetworkConfig) -> list[Params]:
    """Parameters of the first fold of each round."""
    config = learner.config(network)
    found: dict[str, Params] = {}
    for folds in _side_by_side(stage._replace(rounds=[folds[:1] for folds in stage.rounds])):
        for job in train_folds(stage.micro, stage.macro, folds, [0], config):
            found[job.fold.name] = job.params
    return [found[folds[0].name] for folds in stage.rounds]


def adapted_counts(
    learner: Learner, trained: Sequence[Params], stage: Stage, asked: Sequence[Sequence[Asked]], network: NetworkConfig
) -> Counts:
    """Adapt each round's parameters by `ADAPT_STEPS` inner steps to the clips that are given, and count what they predict.

    Clips stand beside their mirror images; a prediction is the mean over both.
    """
    method = learner.config(network).method
    level = dataclasses.replace(method.bilevel, inner_steps=ADAPT_STEPS)
    adapter = make_adapter(dataclasses.replace(method, bilevel=level), network)
    images = scale_flow(jnp.asarray(stage.micro.image))
    views = np.asarray(images), np.asarray(mirror_flow(images))
    both = lambda rows: np.concatenate([view[rows] for view in views])  # noqa: E731
    guesses = []
    for params, pairs in zip(trained, asked, strict=True):
        supports = [(both(given), np.tile(stage.micro.label[given], 2)) for given, _ in pairs]
        predicted = adapter(params, supports, [both(test) for _, test in pairs])
        guesses.append([np.mean(np.split(p, 2), axis=0).argmax(axis=1) for p in predicted])
    return _count(stage.micro, [[test for _, test in pairs] for pairs in asked], guesses)


Guesses = dict[str, list[list[NDArray[np.int64]]]]
"""Predicted classes of the test clips by camera, round and fold."""


def _network(learner: Learner, stage: Stage, images: dict[str, NDArray[np.float32]], network: NetworkConfig) -> Guesses:
    config = learner.config(network)
    found: Guesses = {name: [] for name in images}
    for folds in _side_by_side(stage):
        jobs = [(job.fold, job.params) for job in train_folds(stage.micro, stage.macro, folds, [0], config)]
        jobs = sorted(jobs, key=lambda job: [fold.name for fold in folds].index(job[0].name))
        for name, image in images.items():
            predicted = [probabilities.argmax(axis=1) for probabilities in predict_folds(jobs, image, config)]
            found[name] += [predicted] if stage.same_people else [[one] for one in predicted]
    return found


def _side_by_side(stage: Stage) -> list[list[Fold]]:
    """Folds that train in one program: those that test different clips."""
    return stage.rounds if stage.same_people else [[fold for folds in stage.rounds for fold in folds]]


def _machine(learner: Learner, stage: Stage, images: dict[str, NDArray[np.float32]]) -> Guesses:
    found: Guesses = {name: [] for name in images}
    for number, folds in enumerate(stage.rounds):
        machines = [fit_one(learner.method, stage.micro, fold, number, "clip_rms") for fold in folds]
        for name, image in images.items():
            found[name].append([machine.predict(image).argmax(axis=1) for machine in machines])
    return found


def _with_macro_labelled(stage: Stage) -> Stage:
    """The same folds, with each fold's macro clips as rows of its training clips."""
    micro, macro = stage.micro, stage.macro
    if macro is None:
        raise ValueError(f"{stage.data} has no macro clips that could be labelled ones")
    both = ClipSet(
        np.concatenate([micro.image, macro.image]),
        np.concatenate([micro.label, macro.label]),
        (*micro.subject, *macro.subject),
        (*micro.clip, *macro.clip),
        micro.classes,
    )
    rounds = [
        [dataclasses.replace(fold, train=np.concatenate([fold.train, fold.macro_train])) for fold in folds]
        for folds in stage.rounds
    ]
    return stage._replace(micro=both, rounds=rounds)


def _padded(image: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows that are no test clips are as they were."""
    return np.concatenate([image, whole[len(image) :]])


def _count(
    micro: ClipSet, tested: Sequence[Sequence[NDArray[np.int64]]], guesses: Sequence[Sequence[NDArray[np.int64]]]
) -> Counts:
    subject, classes = np.array(micro.subject), len(micro.classes)
    rounds = []
    for parts, predicted in zip(tested, guesses, strict=True):
        rows, guess = np.concatenate(parts), np.concatenate(predicted)
        label, who = micro.label[rows], subject[rows]
        rounds.append([confusion_matrix(label[who == s], guess[who == s], classes) for s in sorted(set(who))])
    return np.asarray(rounds)
