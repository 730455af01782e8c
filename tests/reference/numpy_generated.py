"""The first step of the published label generator (Liu et al. 2019) in NumPy, with derivatives by complex steps.

Written from the published code: SGD with learning rate 0.01 and without weight decay for the network, a virtual step of the same
size without weight decay, and SGD with learning rate 0.001 and weight decay 5e-4 for the generator. It shares no code with the
package and needs no hand-derived gradient: every function below accepts complex numbers, and `Im f(x + ih) / h` is exact.
"""

import numpy as np

EPSILON, STEP = 1e-5, 1e-30
NETWORK_LR, GENERATOR_LR, GENERATOR_DECAY = 0.01, 0.001, 5e-4


def conv(x, kernel):
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [padded[:, a : a + height, b : b + width] @ kernel[a, b] for a in range(3) for b in range(3)]
    return sum(windows)


def relu(x):
    return np.where(x.real > 0, x, 0)


def max_pool(x):
    n, height, width, channels = x.shape
    windows = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4)
    largest = windows[np.arange(len(windows)), windows.real.argmax(axis=1)]
    return largest.reshape(n, height // 2, width // 2, channels)


def features(backbone, images):
    """One block: convolution with bias, batch normalisation, ReLU, max pooling; mean over space."""
    y = conv(images, backbone["kernel_1"]) + backbone["bias_1"]
    centred = y - y.mean(axis=(0, 1, 2))
    normal = centred / np.sqrt((centred**2).mean(axis=(0, 1, 2)) + EPSILON)
    return max_pool(relu(normal * backbone["norm_scale_1"] + backbone["norm_bias_1"])).mean(axis=(1, 2))


def head(params, x):
    hidden = relu(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


def softmax(logits):
    e = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def focal(logits):
    """`[n, N]` focal losses of each class, exponent 2."""
    p = softmax(logits)
    return -((1 - p) ** 2) * np.log(p)


def labels_of(generator, images, label, psi):
    logits = head(generator["labels"], features(generator["backbone"], images))
    mask = np.where(np.arange(logits.shape[1])[None] // psi == label[:, None], 1.0, 1e-8)
    return softmax(logits + np.log(mask))


def primary(theta, images, label):
    return focal(head(theta["primary"], features(theta["backbone"], images)))[np.arange(len(label)), label].mean()


def each_auxiliary(theta, images):
    """`[n, A]` focal losses of the auxiliary head, of which the fit is a mean weighted by the generated labels."""
    return focal(head(theta["auxiliary"], features(theta["backbone"], images))) / len(images)


def flat(tree, path=()):
    for name in sorted(tree):
        if isinstance(tree[name], dict):
            yield from flat(tree[name], (*path, name))
        else:
            yield (*path, name), tree[name]


def unflat(leaves):
    tree = {}
    for path, value in leaves:
        place = tree
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return tree


def derivative(fn, tree):
    """Derivative of `fn(tree)` with respect to every number: `{path: [*shape of the number's array, *shape of fn]}`."""
    found = {}
    leaves = list(flat(tree))
    for row, (path, value) in enumerate(leaves):
        slopes = []
        for index in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[index] += 1j * STEP
            slopes.append(np.imag(fn(unflat([*leaves[:row], (path, moved), *leaves[row + 1 :]]))) / STEP)
        found[path] = np.reshape(slopes, (*value.shape, *np.shape(slopes[0])))
    return found


def first_step(theta, generator, images, label, psi):
    """Parameters of the network and of the generator after one step of both phases."""

    def fit_gradient(theta):
        of_primary = derivative(lambda t: primary(t, images, label), theta)
        of_auxiliary = derivative(lambda t: each_auxiliary(t, images), theta)
        return lambda soft: {
            path: of_primary[path] + (of_auxiliary[path] * soft).sum(axis=(-2, -1)) for path in of_primary
        }

    def descend(tree, gradient, lr, decay=0.0):
        return unflat([(path, value - lr * (gradient[path] + decay * value)) for path, value in flat(tree)])

    theta = descend(theta, fit_gradient(theta)(labels_of(generator, images, label, psi)), NETWORK_LR)
    at_theta = fit_gradient(theta)

    def after_virtual_step(generator):
        virtual = descend(theta, at_theta(labels_of(generator, images, label, psi)), NETWORK_LR)
        return primary(virtual, images, label)

    return theta, descend(generator, derivative(after_virtual_step, generator), GENERATOR_LR, GENERATOR_DECAY)
