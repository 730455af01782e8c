"""Names that `--baselines` takes."""

from lightman_jax.meta.methods import METHODS

CLASSICAL_BASELINES = ("majority", "knn", "linear_svm", "rbf_svm", "perceptron")
NETWORK_BASELINES = ("ststnet", "offapexnet", "joint")
META_BASELINES = tuple(name for name in METHODS if name not in NETWORK_BASELINES)
UNADAPTED = "unadapted"
"""Name of a run's own networks before adaptation, with which a transductive run is compared; not a value of `--baselines`."""

BASELINES = (*CLASSICAL_BASELINES, *NETWORK_BASELINES, *META_BASELINES)

# The default omits the slow ones: convolutions take ten times as long to train as the default network, OFF-ApexNet forty times.
_DEFAULT = ("majority", "knn", "linear_svm", "rbf_svm", "joint")
_SETS = {"default": _DEFAULT, "meta": META_BASELINES, "all": BASELINES, "none": ()}


def chosen_baselines(names: str) -> list[str]:
    """Names of a comma-separated list, in which `default`, `meta`, `all` and `none` stand for sets of baselines.

    Raises:
      ValueError: an unknown name.

    >>> chosen_baselines("knn,joint")
    ['knn', 'joint']
    """
    found: dict[str, None] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in _SETS and name not in BASELINES:
            raise ValueError(
                f"baseline {name!r} is unknown; choose {', '.join(_SETS)}, or some of {','.join(BASELINES)}"
            )
        found |= dict.fromkeys(_SETS.get(name, (name,)))
    return list(found)
