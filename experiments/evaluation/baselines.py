"""What every result stands beside: simple learners and the field's shallow networks, on the same folds, clips and seeds.

`majority`, `knn`, `linear_svm`, `rbf_svm` and `perceptron` are scikit-learn's (`experiments.evaluation.machines`). `ststnet`, `offapexnet` and
`joint` are trained by the package as the run's own method is: same steps, optimiser, draws and seeds. So are the method's
relatives, where they are asked for.
"""

import dataclasses
from typing import Any

from lightman_jax.meta.methods import METHODS, method_config
from lightman_jax.training.config import TrainConfig

CLASSICAL_BASELINES = ("majority", "knn", "linear_svm", "rbf_svm", "perceptron")

NETWORKS: dict[str, dict[str, Any]] = {
    "ststnet": {"backbone": "ststnet", "normalisation": "batch", "width": 16},
    "offapexnet": {"backbone": "offapexnet", "width": 16},
    "joint": {},
}
"""What each trained baseline changes in the run's network; all are trained jointly, without level one and alignment."""

META_BASELINES = tuple(name for name in METHODS if name not in NETWORKS)
"""Methods that may stand beside another: each with the run's network and its own losses and update."""

BASELINES = (*CLASSICAL_BASELINES, *NETWORKS, *META_BASELINES)

_USUAL = tuple(name for name in (*CLASSICAL_BASELINES, *NETWORKS) if name not in ("perceptron", "offapexnet"))
"""Without the two slow ones: OFF-ApexNet's 2.7 million parameters alone take ten times as long to train as the default network."""


def chosen_baselines(names: str) -> list[str]:
    """Names of a comma-separated list; `usual`, `relatives` and `all` stand for several, `none` for none.

    Raises:
      ValueError: an unknown name.

    >>> chosen_baselines("knn,joint")
    ['knn', 'joint']
    """
    sets = {"all": BASELINES, "usual": _USUAL, "relatives": META_BASELINES, "none": ()}
    found: dict[str, None] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in sets and name not in BASELINES:
            raise ValueError(
                f"baseline {name!r} is unknown; choose usual, relatives, all, none, or some of {','.join(BASELINES)}"
            )
        found |= dict.fromkeys(sets.get(name, (name,)))
    return list(found)


def trained_baseline(name: str, config: TrainConfig) -> TrainConfig:
    """The run's training settings with a baseline's network and plain training, or with a relative's method."""
    if name in META_BASELINES:
        return dataclasses.replace(config, method=method_config(name, config.method))
    network = dataclasses.replace(config.network, **NETWORKS[name])
    return dataclasses.replace(config, method=method_config("joint", config.method), network=network)
