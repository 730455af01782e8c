"""The same work in plain JAX: Flax layers, `jax.grad` and XLA's derivatives of convolutions."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import optax
from jax import lax

from experiments.benchmark.layers import LAYERS
from experiments.benchmark.work import ALIGNMENT_WEIGHT, INNER_LR, Setting
from lightman_jax.types import Params

PlainForm = Literal["vmap", "vmap_unrolled", "scan"]


def make_gradient(setting: Setting, form: PlainForm) -> Callable[[Params, Any], Params]:
    """Build `gradient(params, tasks)`, to be compiled.

    Forms: `vmap` over tasks with a scan over inner steps; `vmap_unrolled` with unrolled steps; `scan` over tasks and steps.
    """

    def objective(params: Params, task: Any) -> jax.Array:
        def step(phi: Params, _: None) -> tuple[Params, None]:
            inner = jax.grad(_loss)(phi, task["support"])
            return jax.tree.map(lambda p, g: p - INNER_LR * g, phi, inner), None

        phi = params
        if form == "vmap_unrolled":
            for _ in range(setting.inner_steps):
                phi, _ = step(phi, None)
        else:
            phi, _ = lax.scan(step, phi, None, length=setting.inner_steps)
        return _loss(phi, task["query"])

    def gradient(params: Params, tasks: Any) -> Params:
        if form == "scan":
            each = lax.map(lambda task: jax.grad(objective)(params, task), tasks)
        else:
            each = jax.vmap(jax.grad(objective), in_axes=(None, 0))(params, tasks)
        return jax.tree.map(lambda g: g.mean(axis=0), each)

    return gradient


def _loss(params: Params, clips: Any) -> jax.Array:
    x = clips["image"]
    backbone = params["backbone"]
    for layer in map(str, range(1, LAYERS + 1)):
        dimensions = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, backbone[f"kernel_{layer}"], (1, 1), "SAME", dimension_numbers=dimensions)
        x = x + backbone[f"bias_{layer}"]
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        x = (x - mean) * lax.rsqrt(variance + 1e-5) * backbone[f"norm_scale_{layer}"] + backbone[f"norm_bias_{layer}"]
        x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
    features = x.mean(axis=(1, 2))
    logits, embedding = (features @ params[head]["kernel"] + params[head]["bias"] for head in ("primary", "auxiliary"))
    primary = optax.softmax_cross_entropy_with_integer_labels(logits, clips["label"]).mean()
    return primary + ALIGNMENT_WEIGHT * (1 - optax.cosine_similarity(embedding, clips["target"]).mean())
