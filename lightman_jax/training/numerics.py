"""Checks of numerical precision and of non-finite losses."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from lightman_jax.meta.method_functions import make_method
from lightman_jax.meta.methods import MethodConfig
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.devices import fetch
from lightman_jax.types import Params, Task

LARGEST_ERROR = 0.1


class PrecisionError(ValueError):
    """A precision that is unsuitable for the backend or the gradient."""


def gradient_error(key: jax.Array, tasks: Task, *, method: MethodConfig, network: NetworkConfig, classes: int) -> float:
    """Relative error of the outer gradient, `|g - g32| / |g32|`, against float32 at random initial parameters."""

    def gradient(precise: NetworkConfig) -> Params:
        # One step of SGD with learning rate 1 subtracts the gradient.
        plain = make_method(method, precise, optax.sgd(1.0))
        state = plain.init(key, tasks.support.image.shape[2:], classes, tasks.support.image.dtype)
        after, _ = jax.jit(plain.update)(state, tasks)
        return jax.tree.map(jnp.subtract, state.params, after.params)

    exact = gradient(dataclasses.replace(network, precision="float32"))
    difference = jax.tree.map(jnp.subtract, gradient(network), exact)
    return float(optax.tree.norm(difference) / optax.tree.norm(exact))


def refuse_imprecise(error: float) -> None:
    """Raise `PrecisionError` for a relative error of the gradient above 0.1, or nan.

    Choice: 0.1 is five times the difference of two correct float32 programs whose ReLUs and maxima select differently.
    """
    if not error <= LARGEST_ERROR:
        raise PrecisionError(
            f"with precision bfloat16 the relative error of this network's outer gradient is {error:.2g}, above {LARGEST_ERROR}; "
            "use --precision=float32, or fewer inner steps"
        )


def refuse_on_cpu() -> None:
    """Raise `PrecisionError` for bfloat16 on a CPU, where it takes twice the time."""
    if jax.default_backend() == "cpu":
        raise PrecisionError("precision bfloat16 is slower on a CPU; use --precision=float32")


def refuse_nonfinite(
    jobs: Sequence[tuple[str, int]], first: int, metrics: dict[str, NDArray[np.float32]], params: Params
) -> None:
    """Raise `FloatingPointError` at the first step of a chunk with a non-finite loss.

    Args:
      jobs: name of the fold and replica of each job; further rows of the arrays are padding.
      first: number of the chunk's first step.
      metrics: `[jobs, steps]` each.
      params: parameters after the chunk, leaves with a leading axis of jobs.
    """
    # Losses come before gradients, because a non-finite loss is the cause.
    names = sorted(metrics, key=lambda name: "loss" not in name)
    bad = np.stack([~np.isfinite(metrics[name][: len(jobs)]) for name in names])
    if not bad.any():
        return
    row = int(bad.any(axis=(0, 2)).argmax())
    step = int(bad[:, row].any(axis=0).argmax())
    name = names[int(bad[:, row, step].argmax())]
    fold, replica = jobs[row]
    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(lambda x: np.asarray(x)[row], fetch(params)))
    lost = [jax.tree_util.keystr(path, simple=True, separator="/") for path, x in leaves if not np.isfinite(x).all()]
    after = f"; non-finite parameters after step {first + len(bad[0, row])}: {', '.join(lost[:3])}" if lost else ""
    raise FloatingPointError(
        f"fold {fold}, replica {replica}, step {first + step}: {name} is {metrics[name][row, step]}{after}. "
        "Lower --learning_rate or --inner_lr, or add --skip_nonfinite to skip such updates"
    )
