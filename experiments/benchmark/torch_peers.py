"""The same work in PyTorch: the loop that learn2learn, higher and torchopt amount to, and `torch.func`.

With `torch.func` the normalisation is written out, because the second-order derivatives of PyTorch's own are wrong under vmap.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import grad, vmap

from experiments.benchmark.work import ALIGNMENT_WEIGHT, INNER_LR, LAYERS, Setting

Tensors = list[torch.Tensor]


def _on_device(values: Any) -> torch.Tensor:
    return torch.tensor(values, device="cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def from_numpy(params: dict[str, Any], tasks: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """Parameters as a flat list in PyTorch's layout, and tasks with images `[T, n, 3, H, W]`."""
    flat: Tensors = []
    for layer in range(1, LAYERS + 1):
        flat.append(_on_device(params["backbone"][f"kernel_{layer}"].transpose(3, 2, 0, 1).copy()))
        flat.extend(_on_device(params["backbone"][f"{name}_{layer}"]) for name in ("bias", "norm_scale", "norm_bias"))
    for head in ("primary", "auxiliary"):
        flat.append(_on_device(params[head]["kernel"].T.copy()))
        flat.append(_on_device(params[head]["bias"]))
    moved = {}
    for part, clips in tasks.items():
        image, label = clips["image"].transpose(0, 1, 4, 2, 3).copy(), clips["label"].astype(np.int64)
        values = {"image": image, "label": label, "target": clips["target"]}
        moved[part] = {name: _on_device(value) for name, value in values.items()}
    return [p.requires_grad_() for p in flat], moved


def to_numpy(flat: Tensors) -> dict[str, Any]:
    """Parameter tree of the package from a flat list."""
    values = [t.detach().numpy() for t in flat]
    backbone: dict[str, Any] = {}
    for layer in range(1, LAYERS + 1):
        kernel, *others = values[4 * (layer - 1) : 4 * layer]
        backbone[f"kernel_{layer}"] = kernel.transpose(2, 3, 1, 0)
        backbone |= dict(zip((f"bias_{layer}", f"norm_scale_{layer}", f"norm_bias_{layer}"), others, strict=True))
    heads = [{"kernel": values[place].T, "bias": values[place + 1]} for place in (-4, -2)]
    return {"backbone": backbone, "primary": heads[0], "auxiliary": heads[1]}


def _features(flat: Tensors, x: torch.Tensor, *, native_norm: bool) -> torch.Tensor:
    for layer in range(LAYERS):
        kernel, bias, scale, shift = flat[4 * layer : 4 * layer + 4]
        x = F.conv2d(x, kernel, bias, padding=1)
        if native_norm:
            x = F.batch_norm(x, None, None, scale, shift, training=True, eps=1e-5)
        else:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
            x = (x - mean) * torch.rsqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]
        x = F.max_pool2d(F.relu(x), 2)
    return x.mean((2, 3))


def _logits(flat: Tensors, features: torch.Tensor) -> torch.Tensor:
    return F.linear(features, *flat[4 * LAYERS : 4 * LAYERS + 2])


def _loss(flat: Tensors, clips: dict[str, torch.Tensor], native_norm: bool) -> torch.Tensor:
    features = _features(flat, clips["image"], native_norm=native_norm)
    embedding = F.linear(features, *flat[4 * LAYERS + 2 :])
    aligned = 1 - F.cosine_similarity(embedding, clips["target"], dim=-1)
    return F.cross_entropy(_logits(flat, features), clips["label"]) + ALIGNMENT_WEIGHT * aligned.mean()


def _adapted(flat: Tensors, support: dict[str, torch.Tensor], setting: Setting, *, graph: bool) -> Tensors:
    phi = flat
    for _ in range(setting.inner_steps):
        inner = torch.autograd.grad(_loss(phi, support, native_norm=True), phi, create_graph=graph)
        phi = [p - INNER_LR * g for p, g in zip(phi, inner, strict=True)]
    return phi


def autograd_loop(setting: Setting) -> Callable[[Tensors, dict[str, Any]], Tensors]:
    """Build `gradient(params, tasks)`: loops over tasks and steps with `autograd.grad(create_graph=True)`."""

    def gradient(flat: Tensors, tasks: dict[str, Any]) -> Tensors:
        total = [torch.zeros_like(p) for p in flat]
        for task in range(setting.tasks):
            support, query = (_one(tasks[part], task) for part in ("support", "query"))
            phi = _adapted(flat, support, setting, graph=not setting.first_order)
            outer = torch.autograd.grad(_loss(phi, query, native_norm=True), flat)
            total = [t + g for t, g in zip(total, outer, strict=True)]
        return [t / setting.tasks for t in total]

    return gradient


def functional_vmap(setting: Setting) -> Callable[[Tensors, dict[str, Any]], Tensors]:
    """Build `gradient(params, tasks)` as `vmap(grad(task))` of `torch.func`; second order only."""

    def objective(flat: Tensors, support: dict[str, torch.Tensor], query: dict[str, torch.Tensor]) -> torch.Tensor:
        phi = flat
        for _ in range(setting.inner_steps):
            inner = grad(_loss)(phi, support, native_norm=False)
            phi = [p - INNER_LR * g for p, g in zip(phi, inner, strict=True)]
        return _loss(phi, query, native_norm=False)

    each = vmap(grad(objective), in_dims=(None, 0, 0))

    def gradient(flat: Tensors, tasks: dict[str, Any]) -> Tensors:
        return [g.mean(0) for g in each([p.detach() for p in flat], tasks["support"], tasks["query"])]

    return gradient


def prediction_loop(setting: Setting) -> Callable[[Tensors, dict[str, Any]], torch.Tensor]:
    """Build `predict(params, tasks)`: logits `[T, query, way]` after adaptation to each support set."""

    def predict(flat: Tensors, tasks: dict[str, Any]) -> torch.Tensor:
        results = []
        for task in range(setting.tasks):
            phi = _adapted(flat, _one(tasks["support"], task), setting, graph=False)
            with torch.no_grad():
                results.append(_logits(phi, _features(phi, tasks["query"]["image"][task], native_norm=True)))
        return torch.stack(results)

    return predict


def _one(clips: dict[str, torch.Tensor], task: int) -> dict[str, torch.Tensor]:
    return {name: values[task] for name, values in clips.items()}
