"""The formulation of the work with this package, as a user would write it: two losses and `meta_gradient`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec

from experiments.benchmark.work import ALIGNMENT_WEIGHT, EMBEDDING, INNER_LR, Setting
from lightman_jax.losses.classification import primary_loss
from lightman_jax.meta.bilevel import TASKS, map_tasks, meta_gradient
from lightman_jax.meta.inner_loop import BilevelConfig, adapt
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches
from lightman_jax.types import LossFn, Metrics, Params


def task_mesh(devices: int | None = None) -> Mesh:
    """Mesh of the first `devices` devices, or of all, with one axis of tasks."""
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (TASKS,), axis_types=(AxisType.Auto,), devices=chosen)


def network_of(setting: Setting, **changes: Any) -> NetworkConfig:
    """Configuration of the dual branch of the work."""
    return NetworkConfig(
        backbone=setting.backbone,
        width=setting.width,
        normalisation="batch",
        head=setting.head,
        stem=setting.stem,
        embedding=EMBEDDING,
        **changes,
    )


def loss_on(part: str, network: NetworkConfig) -> LossFn:
    """Loss `P + 1/2 mean(1 - cos(embedding, target))` on the support or query set."""

    def loss(params: Params, task: Any) -> tuple[jax.Array, Metrics]:
        clips = task[part]
        outputs = apply_branches(params, clips["image"], config=network)
        target = clips["target"] / jnp.linalg.norm(clips["target"], axis=-1, keepdims=True)
        aligned = 1 - jnp.sum(outputs.embedding * target, axis=-1)
        return primary_loss(outputs.logits, clips["label"]).mean() + ALIGNMENT_WEIGHT * aligned.mean(), {}

    return loss


def make_gradient(
    setting: Setting, network: NetworkConfig, mesh: Mesh | None = None, **bilevel: Any
) -> Callable[[Params, Any], Params]:
    """Build `gradient(params, tasks)`, to be compiled; `bilevel` are further settings of `BilevelConfig`."""
    config = BilevelConfig(setting.inner_steps, INNER_LR, first_order=setting.first_order, **bilevel)
    inner, outer = loss_on("support", network), loss_on("query", network)
    return lambda params, tasks: meta_gradient(
        params, tasks, inner_loss=inner, outer_loss=outer, config=config, mesh=mesh
    )[0]


def make_prediction(setting: Setting, network: NetworkConfig, mesh: Mesh) -> Callable[[Params, Any], jax.Array]:
    """Build `predict(params, tasks)`, to be compiled: logits `[T, query, way]` after adaptation to each support set."""
    config = BilevelConfig(setting.inner_steps, INNER_LR)
    inner = loss_on("support", network)

    def one_task(params: Params, task: Any) -> jax.Array:
        phi, _ = adapt(params, task, inner_loss=inner, config=config)
        return apply_branches(phi, task["query"]["image"], config=network).logits

    def all_tasks(params: Params, tasks: Any) -> jax.Array:
        return map_tasks(lambda task: one_task(params, task), tasks, config.task_mapping)

    split = PartitionSpec(TASKS)
    return jax.shard_map(all_tasks, mesh=mesh, in_specs=(PartitionSpec(), split), out_specs=split, check_vma=False)
