"""From simulated to real clips: training on the ones, predictions of the others, and their rows by corpus."""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from experiments.claims.contenders import Contender, count_by_subject
from experiments.claims.subjects import Images, StudyData
from experiments.claims.sweep import Row, make_row
from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.training.prediction import predict_folds
from lightman_jax.types import ClipSet

Labels = NDArray[np.int32]
Decisions = NDArray[np.float64]
"""Decision values or log-probabilities `[n, classes]`."""


def svm_decisions(images: Images, labels: Labels, test: Images) -> Decisions:
    """Decision values of an RBF SVM on scaled flow, the mean over a clip and its mirror image."""
    scaled, mirrored = scale_flow(jnp.asarray(images)), mirror_flow(scale_flow(jnp.asarray(test)))
    flat = lambda x: np.asarray(x).reshape(len(x), -1)  # noqa: E731
    svm = SVC(C=3.0, decision_function_shape="ovr").fit(flat(scaled), labels)
    decisions = [svm.decision_function(flat(scale_flow(one))) for one in (jnp.asarray(test), mirrored)]
    return np.asarray(np.mean(decisions, axis=0))


def classes(decisions: Decisions) -> Labels:
    """The class with the highest value."""
    return np.asarray(decisions.argmax(axis=1), np.int32)


def network_decisions(
    micro: ClipSet, macro: ClipSet | None, real: ClipSet, config: TrainConfig, seed: int
) -> Decisions:
    """Log-probabilities of the real clips by a network that is trained on the simulated clips."""
    both = micro.join(real)
    simulated = np.arange(len(both)) < len(micro)
    fold = Fold("real", np.flatnonzero(~simulated), simulated, np.ones(0 if macro is None else len(macro), bool))
    (job,) = train_folds(both, macro, [fold], [seed], config)
    (probabilities,) = predict_folds([(job.fold, job.params)], both.image, config)
    return np.log(np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny))


def rows_by_corpus(
    panel: str, level: str, real: ClipSet, predicted: Sequence[Labels], parts: Sequence[str] = ()
) -> Iterator[Row]:
    """Rows of the predictions of each population on parts of the real clips: `all`, or the clips of one corpus."""
    corpora = np.array(real.dataset)
    fold = Fold("real", np.arange(len(real)), np.zeros(len(real), bool), np.zeros(0, bool))
    data = StudyData("", real, None, [[fold]], {}, same_subjects=True)
    for part in parts or ("all", *sorted(set(real.dataset))):
        rows = np.flatnonzero((corpora == part) | (part == "all"))
        counts = count_by_subject(real, [[rows]] * len(predicted), [[labels[rows]] for labels in predicted])
        yield make_row(panel, level, Contender(part), data, counts)
