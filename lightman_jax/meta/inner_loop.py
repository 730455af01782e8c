"""Inner loop: adapt parameters to one task, for any parameter tree, task and loss."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax

from lightman_jax.checks import check_number, is_count, is_number, transferring
from lightman_jax.types import LossFn, Metrics, Params

TaskMapping = Literal["auto", "vmap", "scan"]
TASK_MAPPINGS: tuple[TaskMapping, ...] = get_args(TaskMapping)
LRShape = Literal["scalar", "leaf", "entry"]
Remat = Literal["auto", "on", "off"]

# Choice, measured on 2 CPU cores: ResNet12 of width 16 on 15 images of 84x84x3 has results of 2.5 GB in 5 steps; recomputing
# them takes 0.8 of the time and 0.14 of the memory. Conv4 of width 64 on 5 such images has 0.2 GB; there it takes 1.2 and 0.56.
_MOST_RESULT_BYTES = 1_000_000_000
_SMALL_TASK_BYTES = 1_000_000


@dataclasses.dataclass(frozen=True)
class BilevelConfig:
    """Settings of the bi-level update.

    Attributes:
      inner_steps: K, number of inner steps, 0 or more; 0 is plain training.
      inner_lr: alpha, step size of the inner loop, or its initial value if it is learned.
      first_order: stop the gradient through the inner gradients; a learned alpha still receives its own gradient.
      task_mapping: vmap computes the tasks of an outer step, and the training jobs of a device, in parallel; scan computes
        them in sequence with the same gradient. auto is scan on a CPU, where parallel tasks become slow grouped
        convolutions, and vmap elsewhere.
      remat: on recomputes each inner step during differentiation instead of storing it, with the same gradient; off stores it;
        auto recomputes where the results of all operations of the steps are more than 1 GB, as with large images. True and False
        are on and off.
    """

    inner_steps: int = 1
    inner_lr: float = 0.05
    first_order: bool = False
    task_mapping: TaskMapping = "auto"
    remat: Remat = "auto"

    def __post_init__(self) -> None:
        if not is_count(self.inner_steps, 0):
            raise ValueError(
                f"inner_steps {self.inner_steps} is negative or not whole; choose 0 (no adaptation), 1, 2, ..."
            )
        if not is_number(self.inner_lr):
            raise ValueError(
                f"inner_lr {self.inner_lr} is negative or not finite; choose 0.02 to 0.1, or 0 to disable adaptation"
            )
        if not isinstance(self.first_order, bool):
            raise ValueError(f"first_order {self.first_order!r} must be True or False")
        if isinstance(self.remat, bool):
            object.__setattr__(self, "remat", "on" if self.remat else "off")
        if self.remat not in get_args(Remat):
            raise ValueError(f"remat {self.remat!r} is unknown; choose one of {', '.join(get_args(Remat))}")
        if self.task_mapping not in TASK_MAPPINGS:
            raise ValueError(f"task_mapping {self.task_mapping!r} is unknown; choose one of {', '.join(TASK_MAPPINGS)}")


@struct.dataclass
class LearnedLRParams:
    """Parameters together with learned inner learning rates; accepted wherever `params` is.

    `inner_lr` is a tree like `params` or a prefix of it: one array of shape `()`, or one array per leaf that broadcasts to it.
    """

    params: Params
    inner_lr: Any


@transferring
def learn_inner_lr(params: Params, inner_lr: float, *, each: LRShape = "entry") -> LearnedLRParams:
    """Add learned inner learning rates to parameters.

    Args:
      params: any tree of arrays.
      inner_lr: initial value of every learning rate.
      each: `scalar` learns one rate, `leaf` one per array, `entry` one per number (Meta-SGD).

    Returns:
      `LearnedLRParams` for `adapt`, `meta_gradient` and the update; the outer optimizer then trains both.

    Raises:
      ValueError: unknown `each`, a negative rate, or parameters without an array.

    Reference: Li et al. 2017, "Meta-SGD" (`entry`); Antoniou et al. 2019, "How to train your MAML" (`leaf`).

    >>> learn_inner_lr({"w": jnp.ones(2), "b": jnp.ones(1)}, 0.5, each="entry").inner_lr["w"].tolist()
    [0.5, 0.5]
    """
    if each not in get_args(LRShape):
        raise ValueError(f"each {each!r} is unknown; choose one of {', '.join(get_args(LRShape))}")
    check_number("inner_lr", inner_lr, least=0)
    if not jax.tree.leaves(params):
        raise ValueError("the parameters have no array; give a tree of arrays")
    if each == "scalar":
        return LearnedLRParams(params, jnp.asarray(inner_lr, jax.tree.leaves(params)[0].dtype))
    shape = (lambda p: p.shape) if each == "entry" else (lambda _: ())
    return LearnedLRParams(params, jax.tree.map(lambda p: jnp.full(shape(p), inner_lr, p.dtype), params))


@transferring
def adapt(
    params: Params,
    task: Any,
    *,
    inner_loss: LossFn,
    config: BilevelConfig,
    inner_optimizer: optax.GradientTransformation | None = None,
    adapted: Any = True,
) -> tuple[Params, Metrics]:
    """Take K gradient steps on one task, `phi_0 = theta`, `phi_{k+1} = phi_k - alpha grad inner_loss(phi_k, task)`.

    Differentiable with respect to `params` and `task`. With `first_order` the inner gradient is treated as a constant.

    Args:
      params: theta, any tree of arrays, or `LearnedLRParams`.
      task: one task, passed to `inner_loss`.
      inner_loss: `loss(params, task) -> (scalar, metrics)`.
      config: inner steps, learning rate and order.
      inner_optimizer: an optax transformation that replaces `- alpha *`, with a new state for each task. `config.inner_lr`
        is then ignored; learned rates multiply its updates. `clip_by_global_norm` has no derivative where the whole gradient of a
        task is exactly zero; its second-order meta-gradient is nan there.
      adapted: which parameters are adapted: a bool, or a tree of bools that is a prefix of `params`, for example
        `{"backbone": False, "head": True}`. The others remain theta, without the cost of a gradient.

    Returns:
      `(phi_K, metrics)`, phi without learning rates; metrics are `inner/loss` and the loss's own, each `[K]`, empty for K = 0.

    Raises:
      ValueError: the inner optimizer is no optax transformation of gradients alone; or its derivative is not finite at a gradient
        with zeros (Adam), unless `first_order`.

    Reference: Finn et al. 2017, "Model-Agnostic Meta-Learning"; the first level of arXiv 2404.12024.

    >>> loss = lambda p, t: (0.5 * jnp.sum((p - t) ** 2), {})
    >>> phi, _ = adapt(jnp.array([4.0]), jnp.array([0.0]), inner_loss=loss, config=BilevelConfig(inner_lr=0.5))
    >>> phi.tolist()
    [2.0]
    """
    theta = initial_params(params)
    if config.inner_steps == 0:
        return theta, {}
    # Parameters that are not adapted are removed from the tree and closed over.
    moves = jax.tree.map(lambda flag, part: jax.tree.map(lambda _: bool(flag), part), adapted, theta)
    moving = jax.tree.map(lambda flag, p: p if flag else None, moves, theta)
    whole = lambda part: jax.tree.map(  # noqa: E731
        lambda flag, new, old: new if flag else old, moves, part, theta, is_leaf=lambda x: x is None
    )
    if inner_optimizer is not None:
        _check_optimizer(inner_optimizer)
        if not config.first_order:
            _refuse_infinite_derivative(inner_optimizer, moving)
    scale = _step_scale(params, moving, config, inner_optimizer)
    loss = lambda p: inner_loss(whole(p), task)  # noqa: E731
    if config.remat == "auto":
        config = dataclasses.replace(config, remat="on" if _recomputes(loss, moving, task, config) else "off")
    phi, metrics = _inner_steps(moving, scale, loss, config, inner_optimizer)
    return whole(phi), metrics


def _recomputes(loss: Callable[..., Any], start: Params, task: Any, config: BilevelConfig) -> bool:
    """Whether `remat="auto"` recomputes; the gradient of first order stores no step."""
    if config.first_order or _bytes(jax.tree.leaves(task)) < _SMALL_TASK_BYTES:
        return False
    return config.inner_steps * _result_bytes(jax.make_jaxpr(loss)(start).jaxpr) > _MOST_RESULT_BYTES


def _result_bytes(jaxpr: Any) -> int:
    """Bytes of the results of all operations of a program, of called functions included, of other loops and rules not."""
    total = 0
    for equation in jaxpr.eqns:
        called = equation.params.get("jaxpr") if equation.primitive.name in ("jit", "pjit", "closed_call") else None
        if called is not None:
            total += _result_bytes(called.jaxpr)
        else:
            total += _bytes(result.aval for result in equation.outvars)
    return total


def _bytes(arrays: Iterable[Any]) -> int:
    """Bytes of arrays or their shapes; a shape that is not known yet, as in an export, counts as none."""
    return sum(x.size * x.dtype.itemsize for x in arrays if isinstance(getattr(x, "size", None), int))


def _inner_steps(
    start: Params, scale: Params, loss: Any, config: BilevelConfig, optimizer: optax.GradientTransformation | None
) -> tuple[Params, Metrics]:
    """K steps on `loss(phi) -> (scalar, metrics)`; `scale` multiplies each step."""
    transform = optax.identity() if optimizer is None else optimizer

    def step(carry: tuple[Params, Any], _: None) -> tuple[tuple[Params, Any], Metrics]:
        phi, state = carry
        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(phi)
        if config.first_order:
            gradient = lax.stop_gradient(gradient)
        direction, state = optimizer_update(transform, gradient, state, phi)
        phi = jax.tree.map(lambda p, a, d: p + a * d, phi, scale, direction)
        return (phi, state), {"inner/loss": value, **{f"inner/{name}": v for name, v in metrics.items()}}

    if config.remat == "on":
        step = jax.checkpoint(step, prevent_cse=False)
    (phi, _), metrics = lax.scan(step, (start, transform.init(start)), None, length=config.inner_steps)
    return phi, metrics


def initial_params(params: Params) -> Params:
    """Theta itself, without learned inner learning rates."""
    return params.params if isinstance(params, LearnedLRParams) else params


def _step_scale(
    params: Params, moving: Params, config: BilevelConfig, optimizer: optax.GradientTransformation | None
) -> Params:
    """Factor of each adapted leaf's step: -alpha for gradients; +1, or the learned rate, for the updates of an optimizer."""
    sign = -1.0 if optimizer is None else 1.0
    if not isinstance(params, LearnedLRParams):
        constant = sign * config.inner_lr if optimizer is None else sign
        return jax.tree.map(lambda p: jnp.asarray(constant, p.dtype), moving)
    return jax.tree.map(
        lambda lr, part: jax.tree.map(lambda p: jnp.broadcast_to(sign * lr, p.shape), part), params.inner_lr, moving
    )


def _check_optimizer(optimizer: optax.GradientTransformation) -> None:
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise ValueError(
            f"inner_optimizer is {optimizer!r}, not an optax transformation; give for example optax.sgd(0.1)"
        )


def optimizer_update(
    optimizer: optax.GradientTransformation, gradient: Params, state: Any, params: Params
) -> tuple[Params, Any]:
    """`optimizer.update(gradient, state, params)` under JAX's ordinary promotion, which optax's schedules and Adam need."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        try:
            return optimizer.update(gradient, state, params)
        except TypeError as error:
            raise ValueError(
                f"the optimizer cannot be applied to gradients, its state and parameters alone: {error}; choose for example "
                "optax.sgd(0.1)"
            ) from error


@transferring
def _refuse_infinite_derivative(optimizer: optax.GradientTransformation, moving: Params) -> None:
    """Differentiate one step at a gradient with zeros in it, as a dead ReLU or an unused head produces them.

    A transformation without a derivative only where the whole gradient is zero (`clip_by_global_norm`) is accepted.
    """
    leaves, tree = jax.tree.flatten(moving)

    def filled(parity: int) -> Params:
        """Zeros in every second array; in an only array, in every second place."""
        one = lambda row: (row + parity) % 2 if len(leaves) > 1 else (np.arange(leaves[row].size) + 1) % 2  # noqa: E731
        return jax.tree.unflatten(
            tree,
            [
                jnp.asarray(np.broadcast_to(one(row), leaf.size).reshape(leaf.shape), leaf.dtype)
                for row, leaf in enumerate(leaves)
            ],
        )

    with jax.ensure_compile_time_eval():
        zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), moving)
        state = optimizer.init(zeros)

        def total(gradient: Params) -> jax.Array:
            updates, _ = optimizer_update(optimizer, gradient, state, zeros)
            return jnp.stack([jnp.sum(u.astype(jnp.float32)) for u in jax.tree.leaves(updates)]).sum()

        def is_finite(gradient: Params) -> bool:
            slopes = jax.tree.leaves(jax.grad(total)(gradient))
            # A transformation that contains traced numbers, such as a scheduled rate, cannot be evaluated while tracing.
            return all(isinstance(s, jax.core.Tracer) or np.isfinite(np.asarray(s)).all() for s in slopes)

        finite = is_finite(zeros) or (is_finite(filled(0)) and is_finite(filled(1)))
    if not finite:
        raise ValueError(
            "the inner optimizer's derivative is not finite at a gradient with zeros (a square root or a norm of zeros, as in "
            "Adam's denominator), so the second-order meta-gradient would be nan; for Adam and the like set eps_root, as in "
            "optax.adam(1e-2, eps_root=1e-8); optax.clip and optax.clip_by_global_norm are differentiable; or set first_order=True"
        )
