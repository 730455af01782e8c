"""The generic two-level update. It knows no faces: any parameter tree, any task tree, any two losses.

    phi_0     = theta
    phi_{k+1} = phi_k - alpha * grad inner_loss(phi_k, task)            k < K
    J(theta)  = mean_T [ outer_loss(phi_K, task) + initial_loss(theta, task) ]
    theta     <- outer optimiser with grad J

Losses are written for one task and return `(scalar, metrics)`; tasks carry a leading axis T here and nowhere else.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax

from lightman_jax.types import LossFn, Metrics, Params, TrainState

TaskMapping = Literal["auto", "vmap", "scan"]
TASK_MAPPINGS: tuple[TaskMapping, ...] = ("auto", "vmap", "scan")


@dataclasses.dataclass(frozen=True)
class BilevelConfig:
    """Settings of the two-level update.

    Attributes:
      inner_steps: K, 0 or more; 0 is plain training.
      inner_rate: alpha, step size of level one.
      first_order: stop the gradient through the inner gradients.
      task_mapping: `vmap` runs the tasks of a step side by side, `scan` one after the other; both give the same
        gradient. `auto` is `scan` on a CPU, where side-by-side kernels become slow grouped convolutions, else `vmap`.
    """

    inner_steps: int = 1
    inner_rate: float = 0.05
    first_order: bool = False
    task_mapping: TaskMapping = "auto"

    def __post_init__(self) -> None:
        if self.inner_steps < 0:
            raise ValueError(f"inner steps {self.inner_steps} is negative; choose 0 (no adaptation), 1, 2, ...")
        if self.inner_rate < 0:
            raise ValueError(
                f"inner rate {self.inner_rate} is negative; choose 0.02 to 0.1, or 0 to switch adaptation off"
            )
        if self.task_mapping not in TASK_MAPPINGS:
            raise ValueError(f"task_mapping {self.task_mapping!r} is unknown; choose one of {', '.join(TASK_MAPPINGS)}")


def adapt(params: Params, task: Any, *, inner_loss: LossFn, config: BilevelConfig) -> tuple[Params, Metrics]:
    """Level one: K gradient steps on one task, `phi_{k+1} = phi_k - alpha grad inner_loss(phi_k, task)`.

    Differentiable with respect to `params` and `task`. With `first_order` the inner gradient is held constant.

    Args:
      params: theta, any tree of arrays.
      task: whatever `inner_loss` takes, for one task.
      inner_loss: `loss(params, task) -> (scalar, metrics)`.
      config: steps, rate, order.

    Returns:
      `(phi_K, metrics)`; metrics are `inner/loss` and the loss's own, each `[K]`, empty for K = 0.

    Reference: Finn et al. 2017, "Model-Agnostic Meta-Learning"; level one of arXiv 2404.12024.

    >>> loss = lambda p, t: (0.5 * jnp.sum((p - t) ** 2), {})
    >>> phi, _ = adapt(jnp.array([4.0]), jnp.array([0.0]), inner_loss=loss, config=BilevelConfig(inner_rate=0.5))
    >>> phi.tolist()
    [2.0]
    """
    if config.inner_steps == 0:
        return params, {}

    def step(phi: Params, _: None) -> tuple[Params, Metrics]:
        (value, metrics), gradient = jax.value_and_grad(inner_loss, has_aux=True)(phi, task)
        if config.first_order:
            gradient = lax.stop_gradient(gradient)
        phi = jax.tree.map(lambda p, g: p - jnp.asarray(config.inner_rate, p.dtype) * g, phi, gradient)
        return phi, {"inner/loss": value, **{f"inner/{name}": v for name, v in metrics.items()}}

    return lax.scan(step, params, None, length=config.inner_steps)


def outer_objective(
    params: Params,
    task: Any,
    *,
    inner_loss: LossFn,
    outer_loss: LossFn,
    initial_loss: LossFn | None = None,
    config: BilevelConfig,
) -> tuple[jax.Array, Metrics]:
    """Level two's objective on one task, `outer_loss(phi_K, task) + initial_loss(theta, task)`.

    Args:
      params: theta.
      task: one task.
      inner_loss: level one's loss.
      outer_loss: judges the adapted parameters.
      initial_loss: judges the parameters before adaptation; None leaves the term out.
      config: see `BilevelConfig`.

    Returns:
      `(scalar, metrics)` with scalars `inner/*` (of the last inner step), `outer/*` and `initial/*`.
    """
    adapted, inner_metrics = adapt(params, task, inner_loss=inner_loss, config=config)
    total, outer_metrics = outer_loss(adapted, task)
    metrics = {name: values[-1] for name, values in inner_metrics.items()}
    metrics |= {"outer/loss": total, **{f"outer/{name}": v for name, v in outer_metrics.items()}}
    if initial_loss is not None:
        value, initial_metrics = initial_loss(params, task)
        metrics |= {"initial/loss": value, **{f"initial/{name}": v for name, v in initial_metrics.items()}}
        total = total + value
    return total, metrics


def meta_gradient(
    params: Params,
    tasks: Any,
    *,
    inner_loss: LossFn,
    outer_loss: LossFn,
    initial_loss: LossFn | None = None,
    config: BilevelConfig,
) -> tuple[Params, Metrics]:
    """Gradient of `J(theta) = mean_T outer_objective(theta, task)` through the inner steps.

    Args:
      params: theta.
      tasks: a tree whose arrays all have the leading axis T.
      inner_loss: level one's loss.
      outer_loss: judges the adapted parameters.
      initial_loss: judges theta itself, or None.
      config: see `BilevelConfig`.

    Returns:
      `(gradient, metrics)`: a tree like `params`, and scalar means over tasks with J itself as `loss`.
    """

    def one_task(task: Any) -> tuple[Params, Metrics]:
        def objective(theta: Params) -> tuple[jax.Array, Metrics]:
            return outer_objective(
                theta, task, inner_loss=inner_loss, outer_loss=outer_loss, initial_loss=initial_loss, config=config
            )

        (value, metrics), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        return gradient, {"loss": value, **metrics}

    if _side_by_side(config.task_mapping):
        stacked = jax.vmap(one_task)(tasks)
        return jax.tree.map(lambda x: x.mean(axis=0), stacked)

    count = jax.tree.leaves(tasks)[0].shape[0]
    shapes = jax.eval_shape(one_task, jax.tree.map(lambda x: x[0], tasks))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def add(total: Any, task: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, one_task(task)), None

    total, _ = lax.scan(add, zeros, tasks)
    return jax.tree.map(lambda x: x / count, total)


def make_update(
    *,
    inner_loss: LossFn,
    outer_loss: LossFn,
    initial_loss: LossFn | None = None,
    outer_optimizer: optax.GradientTransformation,
    config: BilevelConfig,
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """Build one outer step, `update(state, tasks) -> (state, metrics)`, pure and ready for `jax.jit`.

    Args:
      inner_loss: level one's loss.
      outer_loss: judges the adapted parameters.
      initial_loss: judges theta itself, or None.
      outer_optimizer: any optax transformation.
      config: see `BilevelConfig`.

    Returns:
      A function of a `TrainState` and a tree of tasks with leading axis T. Metrics are scalars, with `gradient_norm`.

    >>> loss = lambda p, t: (0.5 * jnp.sum((p - t) ** 2), {})
    >>> optimizer = optax.sgd(1.0)
    >>> update = make_update(inner_loss=loss, outer_loss=loss, outer_optimizer=optimizer, config=BilevelConfig(inner_rate=0.5))
    >>> theta = jnp.array([4.0])
    >>> state = TrainState(params=theta, opt_state=optimizer.init(theta), step=jnp.int32(0))
    >>> state, metrics = update(state, jnp.zeros((2, 1)))
    >>> state.params.tolist()
    [3.0]
    """

    def update(state: TrainState, tasks: Any) -> tuple[TrainState, Metrics]:
        gradient, metrics = meta_gradient(
            state.params,
            tasks,
            inner_loss=inner_loss,
            outer_loss=outer_loss,
            initial_loss=initial_loss,
            config=config,
        )
        changes, opt_state = outer_optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, changes)
        metrics |= {"gradient_norm": optax.tree.norm(gradient)}
        return TrainState(params=params, opt_state=opt_state, step=state.step + 1), metrics

    return update


def _side_by_side(mapping: TaskMapping) -> bool:
    return mapping == "vmap" or (mapping == "auto" and jax.default_backend() != "cpu")
