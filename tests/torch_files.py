"""Random weights in the names and shapes of torchvision, at any width."""

import numpy as np

_DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class _Tensors:
    """Tensors by name, drawn one after another."""

    def __init__(self, seed):
        self.all, self._rng = {}, np.random.default_rng(seed)

    def conv(self, name, outputs, inputs, size, *, has_bias=False):
        spread = (2 / (inputs * size * size)) ** 0.5
        self._put(f"{name}.weight", spread * self._rng.normal(size=(outputs, inputs, size, size)))
        if has_bias:
            self._put(f"{name}.bias", 0.1 * self._rng.normal(size=outputs))

    def norm(self, name, channels):
        self._put(f"{name}.weight", self._rng.uniform(0.5, 1.5, channels))
        self._put(f"{name}.bias", 0.1 * self._rng.normal(size=channels))
        self._put(f"{name}.running_mean", 0.5 * self._rng.normal(size=channels))
        self._put(f"{name}.running_var", self._rng.uniform(0.5, 2, channels))
        self.all[f"{name}.num_batches_tracked"] = np.array(3)

    def dense(self, name, outputs, inputs):
        self._put(f"{name}.weight", self._rng.normal(size=(outputs, inputs)))
        self._put(f"{name}.bias", self._rng.normal(size=outputs))

    def _put(self, name, values):
        self.all[name] = np.asarray(values, np.float32)


def resnet18_tensors(width=64, seed=0):
    """State of `torchvision.models.resnet18`, with a classifier of 10 classes."""
    tensors = _Tensors(seed)
    tensors.conv("conv1", width, 3, 7)
    tensors.norm("bn1", width)
    channels = width
    for stage in range(1, 5):
        outputs = width * 2 ** (stage - 1)
        for block in range(2):
            place = f"layer{stage}.{block}"
            tensors.conv(f"{place}.conv1", outputs, channels, 3)
            tensors.norm(f"{place}.bn1", outputs)
            tensors.conv(f"{place}.conv2", outputs, outputs, 3)
            tensors.norm(f"{place}.bn2", outputs)
            if channels != outputs:
                tensors.conv(f"{place}.downsample.0", outputs, channels, 1)
                tensors.norm(f"{place}.downsample.1", outputs)
            channels = outputs
    tensors.dense("fc", 10, channels)
    return tensors.all


def vgg_tensors(depth, width=64, *, with_norm, seed=0):
    """State of `torchvision.models.vgg16` or `vgg19`, or of their `_bn`, with a single dense layer of 10 classes."""
    tensors, channels, number = _Tensors(seed), 3, 0
    for stage, convs in enumerate(_DEPTHS[depth]):
        outputs = width * min(2**stage, 8)
        for _ in range(convs):
            tensors.conv(f"features.{number}", outputs, channels, 3, has_bias=True)
            if with_norm:
                tensors.norm(f"features.{number + 1}", outputs)
            number, channels = number + (3 if with_norm else 2), outputs
        number += 1
    tensors.dense("classifier.0", 10, channels)
    return tensors.all
