"""Whether numbers can be trusted: rounded products that still give the gradient that is meant, and losses that are numbers."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from lightman_jax.meta.methods import MethodConfig, make_method
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.devices import fetch
from lightman_jax.types import Params, Task

LARGEST_ERROR = 0.1


class PrecisionError(ValueError):
    """A precision that the backend, or the gradient, forbids."""


def gradient_error(key: jax.Array, tasks: Task, *, method: MethodConfig, network: NetworkConfig, classes: int) -> float:
    """How far the outer gradient is from that of float32, `|g - g32| / |g32|`, at parameters drawn from `key`.

    Args:
      key: JAX random key.
      tasks: of one outer step, leading axis T.
      method: what the two levels minimise.
      network: with the precision in question.
      classes: N.
    """

    def gradient(precise: NetworkConfig) -> Params:
        # A step of rate 1 down the gradient, undone.
        plain = make_method(method, precise, optax.sgd(1.0))
        state = plain.init(key, tasks.support.image.shape[2:], classes, tasks.support.image.dtype)
        after, _ = jax.jit(plain.update)(state, tasks)
        return jax.tree.map(jnp.subtract, state.params, after.params)

    exact = gradient(dataclasses.replace(network, precision="float32"))
    difference = jax.tree.map(jnp.subtract, gradient(network), exact)
    return float(optax.tree.norm(difference) / optax.tree.norm(exact))


def refuse_imprecise(error: float) -> None:
    """Refuse a precision whose gradient is too far from that of float32.

    Choice: 0.1, five times what two right float32 programs differ by where rectifiers and maxima decide otherwise.

    Raises:
      PrecisionError: the error is above 0.1, or not a number.
    """
    if not error <= LARGEST_ERROR:
        raise PrecisionError(
            f"precision bfloat16 moves this network's outer gradient by {error:.2g} of its length, more than {LARGEST_ERROR}; "
            "use --precision=float32, or fewer inner steps"
        )


def refuse_on_cpu() -> None:
    """Refuse bfloat16 where it takes twice the time.

    Raises:
      PrecisionError: the backend is a CPU.
    """
    if jax.default_backend() == "cpu":
        raise PrecisionError("precision bfloat16 is for GPUs and TPUs, on a CPU it is slower; use --precision=float32")


def refuse_nonfinite(
    jobs: Sequence[tuple[str, int]], first: int, metrics: dict[str, NDArray[np.float32]], params: Params
) -> None:
    """Stop at the first step of a chunk whose losses are no numbers.

    Args:
      jobs: fold and seed of each lane; further rows of the arrays are padding.
      first: number of the chunk's first step.
      metrics: `[lanes, steps]` each.
      params: after the chunk, leaves with a leading axis of lanes.

    Raises:
      FloatingPointError: names fold, seed, step, loss, and the parameters that are lost.
    """
    # What a gradient is taken of comes before the gradient.
    names = sorted(metrics, key=lambda name: "loss" not in name)
    bad = np.stack([~np.isfinite(metrics[name][: len(jobs)]) for name in names])
    if not bad.any():
        return
    row = int(bad.any(axis=(0, 2)).argmax())
    step = int(bad[:, row].any(axis=0).argmax())
    name = names[int(bad[:, row, step].argmax())]
    fold, seed = jobs[row]
    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(lambda x: np.asarray(x)[row], fetch(params)))
    lost = [jax.tree_util.keystr(path, simple=True, separator="/") for path, x in leaves if not np.isfinite(x).all()]
    after = (
        f"; parameters that are not finite after step {first + len(bad[0, row])}: {', '.join(lost[:3])}" if lost else ""
    )
    raise FloatingPointError(
        f"fold {fold}, seed {seed}, step {first + step}: {name} is {metrics[name][row, step]}{after}. "
        "Lower --learning_rate or --inner_lr, or add --skip_nonfinite to leave such updates out"
    )
