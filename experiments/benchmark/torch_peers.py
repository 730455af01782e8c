"""The same work in PyTorch: the loop that learn2learn, higher and torchopt amount to, and `torch.func`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import grad, vmap

from experiments.benchmark.torch_networks import Params, features_of
from experiments.benchmark.work import ALIGNMENT_WEIGHT, INNER_LR, Setting

Clips = dict[str, torch.Tensor]
Gradient = Callable[[Params, dict[str, Clips]], Params]


def _on_device(values: Any) -> torch.Tensor:
    return torch.tensor(values, device="cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def set_float32(precision: str) -> None:
    """Precision of float32 products and convolutions on a GPU: `ieee` or `tf32`. PyTorch's default differs between the two."""
    backends: Any = torch.backends
    if hasattr(backends, "fp32_precision"):
        backends.cuda.matmul.fp32_precision = backends.cudnn.conv.fp32_precision = precision
    else:
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = precision == "tf32"


def from_numpy(params: dict[str, Any], tasks: dict[str, Any], setting: Setting) -> tuple[Params, dict[str, Clips]]:
    """Parameters by name in PyTorch's layout, heads as `<branch>_kernel` and `<branch>_bias`, and images `[T, n, 3, H, W]`."""
    values = {
        name: _kernel(value) if name.startswith("kernel") else value for name, value in params["backbone"].items()
    }
    for branch in ("primary", "auxiliary"):
        kernel = params[branch]["kernel"]
        # Features are ordered by rows, columns, channels in the package, and by channels, rows, columns in PyTorch.
        kernel = kernel.reshape(*setting.features, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
        values |= {f"{branch}_kernel": kernel.T.copy(), f"{branch}_bias": params[branch]["bias"]}
    moved = {}
    for part, clips in tasks.items():
        image, label = clips["image"].transpose(0, 1, 4, 2, 3).copy(), clips["label"].astype(np.int64)
        moved[part] = {"image": _on_device(image), "label": _on_device(label), "target": _on_device(clips["target"])}
    return {name: _on_device(value).requires_grad_() for name, value in values.items()}, moved


def to_numpy(params: Params, setting: Setting) -> dict[str, Any]:
    """Parameter tree of the package."""
    values = {name: value.detach().cpu().numpy() for name, value in params.items()}
    tree: dict[str, Any] = {}
    for branch in ("primary", "auxiliary"):
        kernel = values.pop(f"{branch}_kernel").T
        height, width, channels = setting.features
        kernel = kernel.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(kernel.shape)
        tree[branch] = {"kernel": kernel, "bias": values.pop(f"{branch}_bias")}
    restored = {name: _restored(value) if name.startswith("kernel") else value for name, value in values.items()}
    return tree | {"backbone": restored}


def _kernel(values: Any) -> Any:
    """`[K,K,C,O]` or `[C,O]` to `[O,C,K,K]`."""
    return (values if values.ndim == 4 else values[None, None]).transpose(3, 2, 0, 1).copy()


def _restored(values: Any) -> Any:
    kernel = values.transpose(2, 3, 1, 0)
    return kernel if kernel.shape[0] > 1 else kernel[0, 0]


def _head(params: Params, branch: str, features: torch.Tensor) -> torch.Tensor:
    return F.linear(features, params[f"{branch}_kernel"], params[f"{branch}_bias"])


def _loss(params: Params, clips: Clips, setting: Setting, native_norm: bool) -> torch.Tensor:
    features = features_of(params, clips["image"], setting, native_norm=native_norm)
    aligned = 1 - F.cosine_similarity(_head(params, "auxiliary", features), clips["target"], dim=-1)
    return F.cross_entropy(_head(params, "primary", features), clips["label"]) + ALIGNMENT_WEIGHT * aligned.mean()


def _gradient(loss: torch.Tensor, params: Params, *, graph: bool = False) -> Params:
    return dict(zip(params, torch.autograd.grad(loss, list(params.values()), create_graph=graph), strict=True))


def _adapted(params: Params, support: Clips, setting: Setting, *, graph: bool) -> Params:
    phi = params
    for _ in range(setting.inner_steps):
        inner = _gradient(_loss(phi, support, setting, native_norm=True), phi, graph=graph)
        phi = {name: phi[name] - INNER_LR * inner[name] for name in phi}
    return phi


def autograd_loop(setting: Setting) -> Gradient:
    """Build `gradient(params, tasks)`: loops over tasks and steps with `autograd.grad(create_graph=True)`."""

    def gradient(params: Params, tasks: dict[str, Clips]) -> Params:
        total = {name: torch.zeros_like(value) for name, value in params.items()}
        for task in range(setting.tasks):
            support, query = (_one(tasks[part], task) for part in ("support", "query"))
            phi = _adapted(params, support, setting, graph=not setting.first_order)
            outer = _gradient(_loss(phi, query, setting, native_norm=True), params)
            total = {name: total[name] + outer[name] for name in total}
        return {name: value / setting.tasks for name, value in total.items()}

    return gradient


def functional_vmap(setting: Setting) -> Gradient:
    """Build `gradient(params, tasks)` as `vmap(grad(task))` of `torch.func`; second order only."""

    def objective(params: Params, support: Clips, query: Clips) -> torch.Tensor:
        phi = params
        for _ in range(setting.inner_steps):
            inner = grad(_loss)(phi, support, setting, native_norm=False)
            phi = {name: phi[name] - INNER_LR * inner[name] for name in phi}
        return _loss(phi, query, setting, native_norm=False)

    each = vmap(grad(objective), in_dims=(None, 0, 0))

    def gradient(params: Params, tasks: dict[str, Clips]) -> Params:
        detached = {name: value.detach() for name, value in params.items()}
        return {name: g.mean(0) for name, g in each(detached, tasks["support"], tasks["query"]).items()}

    return gradient


def prediction_loop(setting: Setting) -> Callable[[Params, dict[str, Clips]], torch.Tensor]:
    """Build `predict(params, tasks)`: logits `[T, query, way]` after adaptation to each support set."""

    def predict(params: Params, tasks: dict[str, Clips]) -> torch.Tensor:
        results = []
        for task in range(setting.tasks):
            phi = _adapted(params, _one(tasks["support"], task), setting, graph=False)
            with torch.no_grad():
                features = features_of(phi, tasks["query"]["image"][task], setting, native_norm=True)
                results.append(_head(phi, "primary", features))
        return torch.stack(results)

    return predict


def _one(clips: Clips, task: int) -> Clips:
    return {name: values[task] for name, values in clips.items()}
