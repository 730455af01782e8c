"""The convolutions of the timed backbones, as counted, drawn and computed by PyTorch; names as in the parameters of the package."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

Timed = Literal["conv4", "resnet12", "resnet18", "vgg16"]
Stem = Literal["small", "imagenet"]
LAYERS = 4
VGG16_DEPTHS = (2, 2, 3, 3, 3)


class Layer(NamedTuple):
    """A convolution with normalisation.

    Attributes:
      name: of its parameters, `kernel_<name>`.
      inputs: input channels.
      outputs: output channels.
      side: height and width of its output.
      size: height and width of its kernel: 1, 3, or 7.
      stride: 1 or 2.
      bias: whether it has a bias.
    """

    name: str
    inputs: int
    outputs: int
    side: int
    size: int = 3
    stride: int = 1
    bias: bool = False


def layers_of(backbone: Timed, width: int, side: int, stem: Stem = "small") -> list[Layer]:
    """Layers of a backbone for images `[side, side, 3]`, in the order of computation; `stem` of resnet18."""
    if backbone == "resnet18":
        return list(_resnet18(width, side, stem))
    return list({"conv4": _conv4, "resnet12": _resnet12, "vgg16": _vgg16}[backbone](width, side))


def last_side(backbone: Timed, side: int, stem: Stem = "small") -> int:
    """Height and width of the last feature maps, after pooling."""
    last = layers_of(backbone, 4, side, stem)[-1].side
    return last if backbone == "resnet18" else pooled(last)


def pooled(side: int) -> int:
    """Side after 2x2 pooling, which drops an odd last row and leaves a single one."""
    return max(1, side // 2)


def _conv4(width: int, side: int) -> Iterator[Layer]:
    channels = 3
    for layer in range(1, LAYERS + 1):
        yield Layer(str(layer), channels, width, side, bias=True)
        side, channels = pooled(side), width


def _resnet12(width: int, side: int) -> Iterator[Layer]:
    channels = 3
    for block in range(1, 5):
        outputs = width * 2 ** (block - 1)
        for layer in (1, 2, 3):
            yield Layer(f"{block}_{layer}", channels if layer == 1 else outputs, outputs, side)
        yield Layer(f"{block}_shortcut", channels, outputs, side, size=1)
        side, channels = pooled(side), outputs


def _resnet18(width: int, side: int, stem: Stem) -> Iterator[Layer]:
    if stem == "imagenet":
        half = -(-side // 2)
        yield Layer("stem", 3, width, half, size=7, stride=2)
        side = -(-half // 2)
    else:
        yield Layer("stem", 3, width, side)
    channels = width
    for stage in range(1, 5):
        outputs = width * 2 ** (stage - 1)
        for block in (1, 2):
            stride = 2 if stage > 1 and block == 1 else 1
            side = -(-side // stride)
            yield Layer(f"{stage}_{block}_1", channels, outputs, side, stride=stride)
            yield Layer(f"{stage}_{block}_2", outputs, outputs, side)
            if channels != outputs:
                yield Layer(f"{stage}_{block}_shortcut", channels, outputs, side, size=1, stride=stride)
            channels = outputs


def _vgg16(width: int, side: int) -> Iterator[Layer]:
    channels = 3
    for stage, depth in enumerate(VGG16_DEPTHS, start=1):
        for layer in range(1, depth + 1):
            outputs = width * min(2 ** (stage - 1), 8)
            yield Layer(f"{stage}_{layer}", channels, outputs, side, bias=True)
            channels = outputs
        side = pooled(side)
