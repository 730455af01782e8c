"""The compared methods: a method of the package with changed settings, or a classical baseline; training and counting."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from experiments.claims.subjects import Images, StudyData
from experiments.cli.baseline_names import CLASSICAL_BASELINES
from experiments.evaluation.classical_baselines import fit_one
from lightman_jax.meta.adaptation import make_adapter
from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import MacroLabels, TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.training.prediction import predict_folds
from lightman_jax.types import ClipSet, Params

Counts = NDArray[np.int64]
"""Confusion matrices `[rounds, subjects, N, N]`."""
Rows = NDArray[np.int64]
Episodes = Sequence[Sequence[tuple[Rows, Rows]]]
"""By round: rows of the labelled clips to adapt to, and rows of the clips to predict."""
Predictions = list[list[NDArray[Any]]]
"""Predicted classes of the test clips, by round and fold."""
ADAPT_STEPS = 5
# All episodes of a contender share its compiled program.
_adapter = functools.cache(make_adapter)


@dataclasses.dataclass(frozen=True)
class Contender:
    """A compared method.

    Attributes:
      method: one of `lightman_jax.METHODS`, or a classical baseline.
      changes: settings of the method that differ from the default, those of `BilevelConfig` included.
      network: settings of the network that differ.
      training: settings of `TrainConfig` that differ.
      macro_labels: true, or shuffled within each fold.
      macro_shots: macro clips per class of a task.
      labelled_macro: weight of the macro clips as labelled clips, see `TaskConfig`.
      macro: `given` uses the macro clips of the data; `none` magnifies the training clips instead; `labelled` adds the macro
        clips to the labelled clips.
    """

    name: str
    method: str = "lightman"
    changes: tuple[tuple[str, Any], ...] = ()
    network: tuple[tuple[str, Any], ...] = ()
    training: tuple[tuple[str, Any], ...] = ()
    macro_labels: MacroLabels = "true"
    macro_shots: int = TaskConfig().macro_shots
    labelled_macro: float = TaskConfig().labelled_macro
    macro: Literal["given", "none", "labelled"] = "given"

    def config(self, network: NetworkConfig) -> TrainConfig:
        """Training settings, for the network of the study."""
        names = {field.name for field in dataclasses.fields(BilevelConfig)}
        bilevel = BilevelConfig(**{name: value for name, value in self.changes if name in names})
        method = MethodConfig(bilevel=bilevel, **{name: value for name, value in self.changes if name not in names})
        return TrainConfig(
            method=method_config(self.method, method),
            network=dataclasses.replace(network, **dict(self.network)),
            task=TaskConfig(macro_shots=self.macro_shots, labelled_macro=self.labelled_macro),
            macro_labels=self.macro_labels,
            **dict(self.training),
        )


CONTENDERS = (
    Contender("lightman"),
    Contender("maml", "maml"),
    Contender("joint", "joint"),
    Contender("RBF SVM", "rbf_svm"),
)
"""Default contenders; the others are compared with the first."""


class Evaluation(NamedTuple):
    """Counts of the test clips: through the default camera, and by name of each other camera."""

    counts: Counts
    views: dict[str, Counts]


def evaluate(contender: Contender, data: StudyData, network: NetworkConfig) -> Evaluation:
    """Train in every round and count the predictions of its test clips in every view."""
    if contender.macro == "none":
        rounds = [[dataclasses.replace(fold, macro_train=fold.train) for fold in folds] for folds in data.rounds]
        data = data._replace(macro=None, rounds=rounds)
    elif contender.macro == "labelled":
        data = label_macro_clips(data)
    whole = data.micro.image
    # Views have rows of the original clips only; rows added for training stay as they are.
    images = {"": whole} | {name: np.concatenate([view, whole[len(view) :]]) for name, view in data.views.items()}
    if contender.method in CLASSICAL_BASELINES:
        predictions = _predict_by_baseline(contender.method, data, images)
    else:
        predictions = _predict_by_network(contender.config(network), data, images)
    test = [[fold.test for fold in folds] for folds in data.rounds]
    counts = {name: count_by_subject(data.micro, test, predicted) for name, predicted in predictions.items()}
    return Evaluation(counts.pop(""), counts)


def train_rounds(contender: Contender, data: StudyData, network: NetworkConfig) -> list[Params]:
    """Trained parameters of the first fold of each round."""
    first = data._replace(rounds=[folds[:1] for folds in data.rounds])
    return [params for _, params in itertools.chain(*_train(contender.config(network), first))]


def adapted_counts(
    contender: Contender, trained: Sequence[Params], data: StudyData, episodes: Episodes, network: NetworkConfig
) -> Counts:
    """Adapt the parameters of each round by `ADAPT_STEPS` inner steps to each of its episodes, and count the predictions.

    Support sets contain the clips and their mirror images; predictions are the mean over a clip and its mirror image.
    """
    method = contender.config(network).method
    bilevel = dataclasses.replace(method.bilevel, inner_steps=ADAPT_STEPS)
    adapter = _adapter(dataclasses.replace(method, bilevel=bilevel), network)
    images = scale_flow(jnp.asarray(data.micro.image))
    sides = np.asarray(images), np.asarray(mirror_flow(images))
    both = lambda rows: np.concatenate([side[rows] for side in sides])  # noqa: E731
    predictions = []
    for params, pairs in zip(trained, episodes, strict=True):
        supports = [(both(support), np.tile(data.micro.label[support], 2)) for support, _ in pairs]
        probabilities = adapter(params, supports, [both(test) for _, test in pairs])
        predictions.append([np.mean(np.split(p, 2), axis=0).argmax(axis=1) for p in probabilities])
    return count_by_subject(data.micro, [[test for _, test in pairs] for pairs in episodes], predictions)


def label_macro_clips(data: StudyData) -> StudyData:
    """Add the macro clips of each fold to its labelled training clips."""
    if data.macro is None:
        raise ValueError(f"{data.data} has no macro clips to use as labelled clips")
    wider = lambda fold: dataclasses.replace(fold, train=np.concatenate([fold.train, fold.macro_train]))  # noqa: E731
    return data._replace(micro=data.micro.join(data.macro), rounds=[[*map(wider, folds)] for folds in data.rounds])


def _predict_by_network(config: TrainConfig, data: StudyData, images: dict[str, Images]) -> dict[str, Predictions]:
    found: dict[str, Predictions] = {name: [] for name in images}
    for jobs in _train(config, data):
        for name, image in images.items():
            predicted = [probabilities.argmax(axis=1) for probabilities in predict_folds(jobs, image, config)]
            found[name] += [predicted] if data.same_subjects else [[one] for one in predicted]
    return found


def _train(config: TrainConfig, data: StudyData) -> Iterator[list[tuple[Fold, Params]]]:
    """Train folds with different test clips in one program; yields the folds of each program with their parameters, in order."""
    batches = data.rounds if data.same_subjects else [list(itertools.chain(*data.rounds))]
    for folds in batches:
        trained = {job.fold.name: job.params for job in train_folds(data.micro, data.macro, folds, [0], config)}
        yield [(fold, trained[fold.name]) for fold in folds]


def _predict_by_baseline(name: str, data: StudyData, images: dict[str, Images]) -> dict[str, Predictions]:
    found: dict[str, Predictions] = {view: [] for view in images}
    for number, folds in enumerate(data.rounds):
        fitted = [fit_one(name, data.micro, fold, number, TrainConfig()) for fold in folds]
        for view, image in images.items():
            found[view].append([baseline.predict(image).argmax(axis=1) for baseline in fitted])
    return found


def count_by_subject(micro: ClipSet, test: Sequence[Sequence[Rows]], predictions: Predictions) -> Counts:
    """Confusion matrices of each round and test subject, from the test rows and predicted classes by round and fold."""
    subject, classes = np.array(micro.subject), len(micro.classes)
    rounds = []
    for parts, predicted in zip(test, predictions, strict=True):
        rows, guess = np.concatenate(parts), np.concatenate(predicted)
        label, owner = micro.label[rows], subject[rows]
        rounds.append([confusion_matrix(label[owner == s], guess[owner == s], classes) for s in sorted(set(owner))])
    return np.asarray(rounds)
