"""Bi-level update for any parameter tree, any task tree and any losses.

    phi_K     = inner loop on inner_loss, from theta
    J(theta)  = sum_T w_T [ outer_loss(phi_K, task) + initial_loss(theta, task) ] / sum_T w_T
    theta     <- outer optimizer with grad J

Losses are written for one task and return `(scalar, metrics)`; trees of tasks have a leading axis T.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from lightman_jax.checks import is_traced, transferring
from lightman_jax.meta.inner_loop import BilevelConfig, TaskMapping, adapt, initial_params, optimizer_update
from lightman_jax.types import LossFn, Metrics, Params, TrainState

TASKS = "tasks"
"""Mesh axis over which the tasks of an outer step are split."""


@dataclasses.dataclass(frozen=True)
class BilevelProblem:
    """Losses and settings of a bi-level problem; losses are `loss(params, task) -> (scalar, metrics)`.

    Attributes:
      inner_loss: loss of the inner loop.
      outer_loss: loss of the adapted parameters.
      config: see `BilevelConfig`.
      initial_loss: loss of the parameters before adaptation; None omits the term.
      inner_optimizer: see `adapt`.
      adapted: see `adapt`.
    """

    inner_loss: LossFn
    outer_loss: LossFn
    config: BilevelConfig
    initial_loss: LossFn | None = None
    inner_optimizer: optax.GradientTransformation | None = None
    adapted: Any = True

    def objective(self, params: Params, task: Any) -> tuple[jax.Array, Metrics]:
        """Outer objective on one task, see `outer_objective`."""
        settings: dict[str, Any] = {"inner_optimizer": self.inner_optimizer, "adapted": self.adapted}
        phi, inner_metrics = adapt(params, task, inner_loss=self.inner_loss, config=self.config, **settings)
        total, outer_metrics = self.outer_loss(phi, task)
        metrics = {name: values[-1] for name, values in inner_metrics.items()}
        metrics |= {"outer/loss": total, **{f"outer/{name}": v for name, v in outer_metrics.items()}}
        if self.initial_loss is not None:
            value, initial_metrics = self.initial_loss(initial_params(params), task)
            metrics |= {"initial/loss": value, **{f"initial/{name}": v for name, v in initial_metrics.items()}}
            total = total + value
        return total, metrics

    def gradient(
        self, params: Params, tasks: Any, *, task_weights: jax.Array | None = None, mesh: Mesh | None = None
    ) -> tuple[Params, Metrics]:
        """Gradient of the mean outer objective, see `meta_gradient`."""
        if task_weights is not None:
            task_weights = jnp.asarray(task_weights)
        count = _task_count(tasks, task_weights)
        weights = jnp.ones(count) if task_weights is None else task_weights.astype(jnp.result_type(float))
        shares = weights / jnp.maximum(weights.sum(), jnp.finfo(weights.dtype).tiny)
        if mesh is None or mesh.shape[TASKS] == 1:
            return self._weighted_sum(params, tasks, shares)

        missing = -count % mesh.shape[TASKS]
        # Copies of the first task with weight 0 fill up the last device.
        filled = jax.tree.map(lambda x: jnp.concatenate([x, *[x[:1]] * missing]), tasks)
        spread = jax.shard_map(
            lambda *inputs: lax.psum(self._weighted_sum(*inputs), TASKS),
            mesh=None if TASKS in jax.sharding.get_abstract_mesh().axis_names else mesh,
            axis_names={TASKS},
            in_specs=(PartitionSpec(), PartitionSpec(TASKS), PartitionSpec(TASKS)),
            out_specs=PartitionSpec(),
            check_vma=False,
        )
        return spread(params, filled, jnp.pad(shares, (0, missing)))

    def _weighted_sum(self, params: Params, tasks: Any, shares: jax.Array) -> tuple[Params, Metrics]:
        def one_task(params: Params, task: Any) -> tuple[Params, Metrics]:
            (value, metrics), gradient = jax.value_and_grad(self.objective, has_aux=True)(params, task)
            return gradient, {"loss": value, **metrics}

        def weigh(share: jax.Array, value: jax.Array) -> jax.Array:
            share = jnp.expand_dims(share, range(share.ndim, value.ndim)).astype(value.dtype)
            return jnp.where(share > 0, share * value, jnp.zeros_like(value))

        if uses_vmap(self.config.task_mapping):
            stacked = jax.vmap(one_task, in_axes=(None, 0))(params, tasks)
            return jax.tree.map(lambda x: weigh(shares, x).sum(axis=0), stacked)
        zeros = jax.tree.map(jnp.zeros_like, params)

        def add(total: Params, part: tuple[Any, jax.Array]) -> tuple[Params, Metrics]:
            task, share = part
            gradient, metrics = one_task(params, task)
            weighed = jax.tree.map(lambda x: weigh(share, x), metrics)
            return jax.tree.map(lambda t, x: t + weigh(share, x), total, gradient), weighed

        gradient, metrics = lax.scan(add, zeros, (tasks, shares))
        return gradient, jax.tree.map(lambda x: x.sum(axis=0), metrics)

    def make_update(
        self, outer_optimizer: optax.GradientTransformation, mesh: Mesh | None = None
    ) -> Callable[..., tuple[TrainState, Metrics]]:
        """One outer step as a pure function, see `make_update`."""

        def update(state: TrainState, tasks: Any, task_weights: jax.Array | None = None) -> tuple[TrainState, Metrics]:
            gradient, metrics = self.gradient(state.params, tasks, task_weights=task_weights, mesh=mesh)
            changes, opt_state = optimizer_update(outer_optimizer, gradient, state.opt_state, state.params)
            params = optax.apply_updates(state.params, changes)
            metrics |= {"gradient_norm": optax.tree.norm(gradient)}
            return TrainState(params=params, opt_state=opt_state, step=state.step + 1), metrics

        return update


@transferring
def outer_objective(params: Params, task: Any, **problem: Any) -> tuple[jax.Array, Metrics]:
    """Outer objective on one task, `outer_loss(phi_K, task) + initial_loss(theta, task)`.

    Args:
      params: theta, or `LearnedLRParams`.
      task: one task.
      **problem: `inner_loss`, `outer_loss`, `config` and other fields of `BilevelProblem`.

    Returns:
      `(scalar, metrics)` with scalars `inner/*` (of the last inner step), `outer/*` and `initial/*`.
    """
    return BilevelProblem(**problem).objective(params, task)


@transferring
def meta_gradient(
    params: Params, tasks: Any, *, task_weights: jax.Array | None = None, mesh: Mesh | None = None, **problem: Any
) -> tuple[Params, Metrics]:
    """Gradient of `J(theta) = sum_T w_T outer_objective(theta, task_T) / sum_T w_T` through the inner steps.

    Args:
      params: theta, or `LearnedLRParams`.
      tasks: a tree whose arrays all have the leading axis T.
      task_weights: `[T]` weights w, 0 or more; a task of weight 0 is padding and contributes nothing, even if it contains nan.
        None means 1 each.
      mesh: devices with an axis `tasks`, over which the tasks are split; None uses one device. The call may also be inside a
        `shard_map` that leaves this axis alone.
      **problem: `inner_loss`, `outer_loss`, `config` and other fields of `BilevelProblem`.

    Returns:
      `(gradient, metrics)`: a tree like `params`, and scalar weighted means over tasks, including J itself as `loss`.

    Raises:
      ValueError: no task, arrays with different numbers of tasks, or weights that are negative, all 0, or not one per task.
    """
    return BilevelProblem(**problem).gradient(params, tasks, task_weights=task_weights, mesh=mesh)


def make_update(
    *, outer_optimizer: optax.GradientTransformation, mesh: Mesh | None = None, **problem: Any
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Build one outer step, `update(state, tasks, task_weights=None) -> (state, metrics)`, a pure function for `jax.jit`.

    Args:
      outer_optimizer: any optax transformation.
      mesh: see `meta_gradient`.
      **problem: `inner_loss`, `outer_loss`, `config` and other fields of `BilevelProblem`.

    Returns:
      A function of a `TrainState` and a tree of tasks with leading axis T. Metrics are scalars, including `gradient_norm`.

    >>> loss = lambda p, t: (0.5 * jnp.sum((p - t) ** 2), {})
    >>> optimizer = optax.sgd(1.0)
    >>> update = make_update(inner_loss=loss, outer_loss=loss, outer_optimizer=optimizer, config=BilevelConfig(inner_lr=0.5))
    >>> theta = jnp.array([4.0])
    >>> state = TrainState(params=theta, opt_state=optimizer.init(theta), step=jnp.int32(0))
    >>> state, metrics = update(state, jnp.zeros((2, 1)))
    >>> state.params.tolist()
    [3.0]
    """
    return BilevelProblem(**problem).make_update(outer_optimizer, mesh)


def displacement_loss(inner_loss: LossFn, config: BilevelConfig, **settings: Any) -> LossFn:
    """Reptile as a loss: `1/2 |theta - stop(phi_K)|^2`, whose gradient is the displacement `theta - phi_K`.

    Args:
      inner_loss: loss of the inner loop.
      config: steps and learning rate of the inner loop.
      **settings: `inner_optimizer` and `adapted`, see `adapt`.

    Returns:
      A loss for an update with `inner_steps=0`; its metrics are those of the last inner step.

    Reference: Nichol et al. 2018, "On First-Order Meta-Learning Algorithms".

    >>> reptile = displacement_loss(lambda p, t: (0.5 * jnp.sum((p - t) ** 2), {}), BilevelConfig(inner_lr=0.5))
    >>> jax.grad(lambda p: reptile(p, jnp.array([0.0]))[0])(jnp.array([4.0])).tolist()
    [2.0]
    """

    def loss(params: Params, task: Any) -> tuple[jax.Array, Metrics]:
        phi, metrics = adapt(lax.stop_gradient(params), task, inner_loss=inner_loss, config=config, **settings)
        displacement = jax.tree.map(lambda p, q: p - lax.stop_gradient(q), params, phi)
        squares = jnp.stack([jnp.sum(jnp.square(d)) for d in jax.tree.leaves(displacement)])
        last = {name.removeprefix("inner/"): values[-1] for name, values in metrics.items() if name != "inner/loss"}
        return 0.5 * squares.sum(), last

    return loss


@transferring
def _task_count(tasks: Any, weights: jax.Array | None) -> int:
    """T, after the leading axes of all arrays and the weights were checked."""
    counts = sorted({np.shape(leaf)[:1] for leaf in jax.tree.leaves(tasks)})
    if len(counts) != 1 or not counts[0] or not counts[0][0]:
        found = ", ".join(map(str, counts)) or "no array"
        raise ValueError(
            f"the arrays of the tasks have the leading axes {found}; give all the same axis of one task or more"
        )
    (count,) = counts[0]
    if weights is not None:
        if weights.shape != (count,):
            raise ValueError(f"task_weights have the shape {weights.shape}; give one weight for each of {count} tasks")
        if not is_traced(weights):
            values = np.asarray(weights)
            if not np.isfinite(values).all() or (values < 0).any():
                raise ValueError(f"task_weights {values.tolist()} must be 0 or more and finite")
    return count


def map_tasks(fn: Callable[[Any], Any], tasks: Any, mapping: TaskMapping) -> Any:
    """Apply `fn` to each task of a tree with leading axis T, in parallel or in sequence; results are stacked."""
    return jax.vmap(fn)(tasks) if uses_vmap(mapping) else lax.map(fn, tasks)


def uses_vmap(mapping: TaskMapping) -> bool:
    """Whether tasks, or training jobs, run in parallel: with `vmap`, and with `auto` on any backend but a CPU."""
    return mapping == "vmap" or (mapping == "auto" and jax.default_backend() != "cpu")
