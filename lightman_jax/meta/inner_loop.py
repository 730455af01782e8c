"""Level one: what adapts parameters to one task, for any parameter tree, any task and any loss.

    phi_0     = theta
    phi_{k+1} = phi_k - alpha * grad inner_loss(phi_k, task)            k < K, on the adapted parameters

alpha is a number, learnt beside theta (`LearnedLRParams`), or replaced by an optax transformation, which is differentiated through.
"""

import dataclasses
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax

from lightman_jax.types import LossFn, Metrics, Params

TaskMapping = Literal["auto", "vmap", "scan"]
TASK_MAPPINGS: tuple[TaskMapping, ...] = get_args(TaskMapping)
LRShape = Literal["scalar", "leaf", "entry"]


@dataclasses.dataclass(frozen=True)
class BilevelConfig:
    """Settings of the two-level update.

    Attributes:
      inner_steps: K, 0 or more; 0 is plain training.
      inner_lr: alpha, step size of level one; where alpha is learnt, its start.
      first_order: stop the gradient through the inner gradients; a learnt alpha still gets its own.
      task_mapping: vmap runs the tasks of a step, and the trainings of a device, side by side, scan one after the other; both
        give the same gradient. auto is scan on a CPU, where side-by-side kernels become slow grouped convolutions, else vmap.
      remat: recompute each inner step when differentiating, instead of storing it: less memory, more time.
    """

    inner_steps: int = 1
    inner_lr: float = 0.05
    first_order: bool = False
    task_mapping: TaskMapping = "auto"
    remat: bool = False

    def __post_init__(self) -> None:
        if self.inner_steps < 0:
            raise ValueError(f"inner steps {self.inner_steps} is negative; choose 0 (no adaptation), 1, 2, ...")
        if self.inner_lr < 0:
            raise ValueError(
                f"inner rate {self.inner_lr} is negative; choose 0.02 to 0.1, or 0 to switch adaptation off"
            )
        if self.task_mapping not in TASK_MAPPINGS:
            raise ValueError(f"task_mapping {self.task_mapping!r} is unknown; choose one of {', '.join(TASK_MAPPINGS)}")


@struct.dataclass
class LearnedLRParams:
    """Parameters and the inner rates that are learnt beside them; wherever `params` may stand, this may.

    `inner_lr` is a tree like `params` or a prefix of it: one array of shape `()`, or one a leaf that broadcasts to the leaf.
    """

    params: Params
    inner_lr: Any


def learn_inner_lr(params: Params, inner_lr: float, *, each: LRShape = "entry") -> LearnedLRParams:
    """Put learnt inner rates beside parameters.

    Args:
      params: any tree of arrays.
      inner_lr: where every rate starts.
      each: `scalar` learns one rate, `leaf` one for each array, `entry` one for each number (Meta-SGD).

    Returns:
      `LearnedLRParams` for `adapt`, `meta_gradient` and the update; the outer optimiser then trains both.

    Raises:
      ValueError: unknown `each`.

    Reference: Li et al. 2017, "Meta-SGD" (`entry`); Antoniou et al. 2019, "How to train your MAML" (`leaf`).

    >>> learn_inner_rate({"w": jnp.ones(2), "b": jnp.ones(1)}, 0.5, each="entry").inner_rate["w"].tolist()
    [0.5, 0.5]
    """
    if each not in get_args(LRShape):
        raise ValueError(f"rates for each {each!r} are unknown; choose one of {', '.join(get_args(LRShape))}")
    if each == "scalar":
        return LearnedLRParams(params, jnp.asarray(inner_lr, jax.tree.leaves(params)[0].dtype))
    shape = (lambda p: p.shape) if each == "entry" else (lambda _: ())
    return LearnedLRParams(params, jax.tree.map(lambda p: jnp.full(shape(p), inner_lr, p.dtype), params))


def adapt(
    params: Params,
    task: Any,
    *,
    inner_loss: LossFn,
    config: BilevelConfig,
    inner_optimizer: optax.GradientTransformation | None = None,
    adapted: Any = True,
) -> tuple[Params, Metrics]:
    """Level one: K gradient steps on one task, `phi_{k+1} = phi_k - alpha grad inner_loss(phi_k, task)`.

    Differentiable with respect to `params` and `task`. With `first_order` the inner gradient is held constant.

    Args:
      params: theta, any tree of arrays, or `LearnedLRParams`.
      task: whatever `inner_loss` takes, for one task.
      inner_loss: `loss(params, task) -> (scalar, metrics)`.
      config: steps, rate, order.
      inner_optimizer: any optax transformation in place of `- alpha *`; its state starts anew with each task.
        `config.inner_lr` is then not used; learnt rates multiply its updates.
      adapted: which parameters move: a bool, or a tree of bools that is a prefix of `params`, for example
        `{"backbone": False, "head": True}`. The others stay theta and cost no gradient.

    Returns:
      `(phi_K, metrics)`, phi without rates; metrics are `inner/loss` and the loss's own, each `[K]`, empty for K = 0.

    Raises:
      ValueError: an inner optimizer whose derivative is not finite where a gradient is 0 (Adam's square root), unless
        `first_order`.

    Reference: Finn et al. 2017, "Model-Agnostic Meta-Learning"; level one of arXiv 2404.12024.

    >>> loss = lambda p, t: (0.5 * jnp.sum((p - t) ** 2), {})
    >>> phi, _ = adapt(jnp.array([4.0]), jnp.array([0.0]), inner_loss=loss, config=BilevelConfig(inner_rate=0.5))
    >>> phi.tolist()
    [2.0]
    """
    theta = initial_params(params)
    if config.inner_steps == 0:
        return theta, {}
    optimizer = optax.identity() if inner_optimizer is None else inner_optimizer
    if inner_optimizer is not None and not config.first_order:
        _refuse_infinite_derivative(inner_optimizer, theta)
    # A prefix is spread over the leaves; what does not move is cut out of the tree and closed over.
    moves = jax.tree.map(lambda flag, part: jax.tree.map(lambda _: bool(flag), part), adapted, theta)
    moving = jax.tree.map(lambda flag, p: p if flag else None, moves, theta)
    scale = _step_scale(params, moving, config, own_lr=inner_optimizer is not None)

    def whole(part: Params) -> Params:
        return jax.tree.map(
            lambda flag, new, old: new if flag else old, moves, part, theta, is_leaf=lambda x: x is None
        )

    def step(carry: tuple[Params, Any], _: None) -> tuple[tuple[Params, Any], Metrics]:
        phi, state = carry
        (value, metrics), gradient = jax.value_and_grad(lambda p: inner_loss(whole(p), task), has_aux=True)(phi)
        if config.first_order:
            gradient = lax.stop_gradient(gradient)
        direction, state = optimizer.update(gradient, state, phi)
        phi = jax.tree.map(lambda p, a, d: p + a * d, phi, scale, direction)
        return (phi, state), {"inner/loss": value, **{f"inner/{name}": v for name, v in metrics.items()}}

    if config.remat:
        step = jax.checkpoint(step, prevent_cse=False)
    (phi, _), metrics = lax.scan(step, (moving, optimizer.init(moving)), None, length=config.inner_steps)
    return whole(phi), metrics


def initial_params(params: Params) -> Params:
    """Theta itself, without the rates that may stand beside it."""
    return params.params if isinstance(params, LearnedLRParams) else params


def _step_scale(params: Params, moving: Params, config: BilevelConfig, *, own_lr: bool) -> Params:
    """What multiplies a direction, for each moving leaf: minus alpha on gradients, plus on an optimiser's own updates."""
    sign = 1.0 if own_lr else -1.0
    if not isinstance(params, LearnedLRParams):
        constant = sign if own_lr else sign * config.inner_lr
        return jax.tree.map(lambda p: jnp.asarray(constant, p.dtype), moving)

    def signed(rate: jax.Array, part: Params) -> Params:
        shaped = lambda p: jnp.broadcast_to(sign * rate, p.shape)  # noqa: E731
        return jax.tree.map(shaped, part)

    return jax.tree.map(signed, params.inner_lr, moving)


def _refuse_infinite_derivative(optimizer: optax.GradientTransformation, theta: Params) -> None:
    """Differentiate one step of the transformation where every gradient is 0, as a dead ReLU or a masked clip makes it."""
    with jax.ensure_compile_time_eval():
        zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), theta)
        state = optimizer.init(zeros)

        def total(gradient: Params) -> jax.Array:
            updates, _ = optimizer.update(gradient, state, zeros)
            return jnp.stack([jnp.sum(u.astype(jnp.float32)) for u in jax.tree.leaves(updates)]).sum()

        slopes = jax.tree.leaves(jax.grad(total)(zeros))
        # A transformation that holds traced numbers, a scheduled rate for example, cannot be looked at while tracing.
        finite = all(isinstance(s, jax.core.Tracer) or np.isfinite(np.asarray(s)).all() for s in slopes)
    if not finite:
        raise ValueError(
            "the inner optimizer's derivative is not finite where a gradient is 0 (the square root in Adam's denominator), "
            "so the second-order meta-gradient would be nan; give it eps_root, as in optax.adam(1e-2, eps_root=1e-8), "
            "or set first_order=True"
        )
