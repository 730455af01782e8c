"""Weights in the names of torchvision and timm as parameters of the backbones.

A convolution has the weight `[O, C, h, w]` in such a file and the kernel `[h, w, C, O]` here. Batch normalisation with stored
moments becomes a scale and shift of each channel (`normalisation="affine"`),

    gamma (x - mean) / sqrt(variance + eps) + beta  =  scale x + shift,

so that features agree in evaluation mode, the second-order update has no state, and the scale and shift are trained. With `batch`
the file's gamma and beta are read, and the moments are those of the current batch.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lightman_jax.networks.backbones import VGG16, VGG19, BackboneName
from lightman_jax.networks.dual_branch import NetworkConfig, NormalisationChoice, StemChoice, make_backbone
from lightman_jax.types import Params

Tensors = Mapping[str, NDArray[np.floating]]
"""Arrays of a file by their names."""

_EPSILON = 1e-5
_DEPTHS: dict[BackboneName, tuple[int, ...]] = {"vgg16": VGG16.depths, "vgg19": VGG19.depths}
_READABLE = "resnet18, vgg16, vgg16_bn, vgg19 and vgg19_bn of torchvision or timm"
_CLASSIFIER = re.compile(r"(fc|classifier|head|head\.fc|pre_logits(\.\w+)?)(\.\d+)?\.(weight|bias)")
_COUNTER = "num_batches_tracked"
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_COLOURS = 3
_MOST_NAMES = 6


class _Layer(NamedTuple):
    """Names of a convolution and its normalisation: here, and in a file; a file without normalisation has the name None."""

    name: str
    conv: str
    norm: str | None


def is_classifier(name: str) -> bool:
    """Whether a tensor of a file belongs to the classifier after the backbone, which is not read.

    >>> is_classifier("classifier.6.weight"), is_classifier("layer1.0.conv1.weight")
    (True, False)
    """
    return _CLASSIFIER.fullmatch(name) is not None


def network_of_tensors(tensors: Tensors, network: NetworkConfig) -> NetworkConfig:
    """The network with `stem` and `normalisation`, where they are `auto`, as the tensors need them.

    Raises:
      ValueError: the tensors are of another backbone, width, stem or normalisation, or of an unknown one; the message has what was
        found and the flags to add.
    """
    found = _backbone_of(tensors)
    first = _layers(tensors, found)[0]
    name, shape = f"{first.conv}.weight", tensors[f"{first.conv}.weight"].shape
    if found != network.backbone:
        raise ValueError(
            f"its weights are of {found}, the backbone is {network.backbone}; add --backbone={found} --width={shape[0]}"
        )
    if shape[0] != network.width:
        _refuse_shape(name, shape, (network.width, *shape[1:]), f"add --width={shape[0]}")
    stem: StemChoice = network.stem
    if found == "resnet18":
        stem = "imagenet" if shape[-1] == 7 else "small"
        if network.stem not in ("auto", stem):
            needed = 7 if network.stem == "imagenet" else 3
            _refuse_shape(name, shape, (*shape[:2], needed, needed), f"add --stem={stem}, or leave it out")
    allowed = ("affine",) if first.norm is None else ("affine", "batch")
    if network.normalisation not in ("auto", *allowed):
        raise ValueError(
            f"its network is {'without' if first.norm is None else 'with batch'} normalisation, and normalisation "
            f"{network.normalisation} computes something else; add --normalisation={' or '.join(allowed)}, or leave it out"
        )
    normalisation: NormalisationChoice = "affine" if network.normalisation == "auto" else network.normalisation
    return dataclasses.replace(network, stem=stem, normalisation=normalisation)


def backbone_of_tensors(tensors: Tensors, network: NetworkConfig, channels: int) -> Params:
    """Parameters of the backbone.

    Args:
      tensors: of a file; those of its classifier are not used.
      network: from `network_of_tensors`.
      channels: of the images; for one channel the weights of the three colours are added, as if they were grey in colour.

    Returns:
      Float32 arrays in the layout of `init_params(...)["backbone"]`.

    Raises:
      ValueError: a tensor is missing, unexpected or of another shape; the message has the name and both shapes.
    """
    layers = _layers(tensors, network.backbone)
    used = {name for layer in layers for name in _tensor_names(layer, network.backbone)}
    others = tensors.keys() - used
    parts = {
        "lacks": sorted(used - tensors.keys()),
        "has unexpected": sorted(name for name in others if not is_classifier(name) and not name.endswith(_COUNTER)),
    }
    wrong = [f"{text} {_names(names)}" for text, names in parts.items() if names]
    if wrong:
        raise ValueError(f"as weights of {network.backbone} it {' and '.join(wrong)}; readable are {_READABLE}")
    image = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    expected = jax.eval_shape(make_backbone(network).init, jax.random.key(0), image)["params"]
    params: dict[str, NDArray[np.float32]] = {}
    for layer in layers:
        params |= _parameters(tensors, layer, network, expected)
    return params


def _backbone_of(tensors: Tensors) -> BackboneName:
    kernels = {name for name, tensor in tensors.items() if tensor.ndim == 4}
    if "features.0.weight" in kernels:
        count = sum(re.fullmatch(r"features\.\d+\.weight", name) is not None for name in kernels)
        for backbone, depths in _DEPTHS.items():
            if count == sum(depths):
                return backbone
    # Deeper networks have three convolutions in a block, or three blocks in the first stage.
    deeper = {"layer1.0.conv3.weight", "layer1.2.conv1.weight"}
    if {"conv1.weight", "layer1.0.conv2.weight"} <= kernels and not deeper & kernels:
        return "resnet18"
    raise ValueError(f"its tensors ({_names(sorted(tensors))}) are of no known network; readable are {_READABLE}")


def _layers(tensors: Tensors, backbone: BackboneName) -> list[_Layer]:
    """The convolutions of a backbone in order."""
    return list(
        _resnet18() if backbone == "resnet18" else _vgg(_DEPTHS[backbone], "features.1.running_mean" in tensors)
    )


def _resnet18() -> Iterator[_Layer]:
    yield _Layer("stem", "conv1", "bn1")
    for stage in range(1, 5):
        for block in (1, 2):
            name, place = f"{stage}_{block}", f"layer{stage}.{block - 1}"
            for layer in (1, 2):
                yield _Layer(f"{name}_{layer}", f"{place}.conv{layer}", f"{place}.bn{layer}")
            if stage > 1 and block == 1:
                yield _Layer(f"{name}_shortcut", f"{place}.downsample.0", f"{place}.downsample.1")


def _vgg(depths: tuple[int, ...], has_norm: bool) -> Iterator[_Layer]:
    """Numbers count the convolutions, normalisations, ReLUs and, at the end of a stage, pools."""
    number = 0
    for stage, depth in enumerate(depths, start=1):
        for layer in range(1, depth + 1):
            yield _Layer(f"{stage}_{layer}", f"features.{number}", f"features.{number + 1}" if has_norm else None)
            number += 3 if has_norm else 2
        number += 1


def _tensor_names(layer: _Layer, backbone: BackboneName) -> Iterator[str]:
    yield f"{layer.conv}.weight"
    if backbone in _DEPTHS:
        yield f"{layer.conv}.bias"
    if layer.norm is not None:
        yield from (f"{layer.norm}.{part}" for part in _NORM_PARTS)


def _parameters(tensors: Tensors, layer: _Layer, network: NetworkConfig, expected: Params) -> Params:
    """Parameters of one convolution and its normalisation."""
    shape = expected[f"kernel_{layer.name}"].shape
    needed = (*shape[:1:-1], *shape[:2]) if len(shape) == 4 else (*shape[::-1], 1, 1)
    found = {name: tensors[name].astype(np.float64) for name in _tensor_names(layer, network.backbone)}
    kernel = found.pop(f"{layer.conv}.weight")
    if needed[1] == 1 and kernel.shape[1:2] == (_COLOURS,):
        kernel = kernel.sum(axis=1, keepdims=True)
    _check_shape(f"{layer.conv}.weight", kernel.shape, needed)
    for name, values in found.items():
        _check_shape(name, values.shape, needed[:1])
    scale, shift = np.ones(needed[0]), np.zeros(needed[0])
    if layer.norm is not None:
        scale, shift, mean, variance = (found[f"{layer.norm}.{part}"] for part in _NORM_PARTS)
        if network.normalisation == "affine":
            scale = scale / np.sqrt(variance + _EPSILON)
            shift = shift - mean * scale
    params = {"kernel": kernel.transpose(2, 3, 1, 0).reshape(shape), "norm_scale": scale, "norm_bias": shift}
    if f"{layer.conv}.bias" in found:
        params["bias"] = found[f"{layer.conv}.bias"]
    return {f"{part}_{layer.name}": values.astype(np.float32) for part, values in params.items()}


def _check_shape(name: str, found: tuple[int, ...], needed: tuple[int, ...]) -> None:
    if found == needed:
        return
    remedy = "the file is not of the network of that name"
    if len(found) == 4 and found[:1] + found[2:] == needed[:1] + needed[2:]:
        remedy = f"give images of {found[1]} channels or 1, without --view_network=shared or joined"
    _refuse_shape(name, found, needed, remedy)


def _refuse_shape(name: str, found: tuple[int, ...], needed: tuple[int, ...], remedy: str) -> NoReturn:
    raise ValueError(f"{name} has the shape {_text(found)}, the network needs {_text(needed)}; {remedy}")


def _text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
