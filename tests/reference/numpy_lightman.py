"""The bi-level update in NumPy with hand-derived gradients: Conv4, both heads, both losses, inner steps, outer objective.

Written from the formulas in float64, with loops over images and windows where that is clearer. It shares no code with the
package.
"""

import numpy as np

EPSILON = 1e-5
GROUP = 8


def conv(x, kernel):
    n, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((n, height, width, kernel.shape[-1]))
    for a in range(3):
        for b in range(3):
            y += np.einsum("nijc,co->nijo", padded[:, a : a + height, b : b + width], kernel[a, b])
    return y


def conv_back(x, kernel, dy):
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    d_padded, d_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for a in range(3):
        for b in range(3):
            window = padded[:, a : a + height, b : b + width]
            d_kernel[a, b] = np.einsum("nijc,nijo->co", window, dy)
            d_padded[:, a : a + height, b : b + width] += np.einsum("nijo,co->nijc", dy, kernel[a, b])
    return d_padded[:, 1:-1, 1:-1], d_kernel


def norm(x):
    n, height, width, channels = x.shape
    grouped = x.reshape(n, height, width, channels // GROUP, GROUP)
    centred = grouped - grouped.mean(axis=(1, 2, 4), keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=(1, 2, 4), keepdims=True) + EPSILON)
    return (centred / deviation).reshape(x.shape), deviation


def norm_back(normal, deviation, dy):
    n, height, width, channels = dy.shape
    shape = (n, height, width, channels // GROUP, GROUP)
    z, dz = normal.reshape(shape), dy.reshape(shape)
    axes = (1, 2, 4)
    dx = (dz - dz.mean(axis=axes, keepdims=True) - z * (dz * z).mean(axis=axes, keepdims=True)) / deviation
    return dx.reshape(dy.shape)


def pool(x):
    n, height, width, channels = x.shape
    y = np.zeros((n, height // 2, width // 2, channels))
    where = np.zeros((n, height // 2, width // 2, channels), int)
    for i in range(height // 2):
        for j in range(width // 2):
            window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(n, 4, channels)
            y[:, i, j], where[:, i, j] = window.max(axis=1), window.argmax(axis=1)
    return y, where


def pool_back(shape, where, dy):
    dx = np.zeros(shape)
    for position in range(4):
        rows, columns = dy.shape[1:3]
        dx[:, position // 2 : 2 * rows : 2, position % 2 : 2 * columns : 2] = dy * (where == position)
    return dx


def branches(p, x):
    tape = []
    for k in range(1, 5):
        b = p["backbone"]
        before = conv(x, b[f"kernel_{k}"]) + b[f"bias_{k}"]
        normal, deviation = norm(before)
        positive = np.maximum(normal * b[f"norm_scale_{k}"] + b[f"norm_bias_{k}"], 0)
        pooled, where = pool(positive)
        tape.append((x, normal, deviation, positive, where))
        x = pooled
    features = x.mean(axis=(1, 2))
    logits = features @ p["primary"]["kernel"] + p["primary"]["bias"]
    raw = features @ p["auxiliary"]["kernel"] + p["auxiliary"]["bias"]
    length = np.sqrt((raw**2).sum(axis=1, keepdims=True))
    return logits, raw / length, (tape, x.shape, features, length)


def branches_back(p, saved, embedding, d_logits, d_embedding):
    tape, shape, features, length = saved
    d_raw = (d_embedding - embedding * (embedding * d_embedding).sum(axis=1, keepdims=True)) / length
    grads = {
        "primary": {"kernel": features.T @ d_logits, "bias": d_logits.sum(axis=0)},
        "auxiliary": {"kernel": features.T @ d_raw, "bias": d_raw.sum(axis=0)},
        "backbone": {},
    }
    d_features = d_logits @ p["primary"]["kernel"].T + d_raw @ p["auxiliary"]["kernel"].T
    dx = np.broadcast_to(d_features[:, None, None, :] / (shape[1] * shape[2]), shape)
    b, g = p["backbone"], grads["backbone"]
    for k in range(4, 0, -1):
        x, normal, deviation, positive, where = tape[k - 1]
        d_affine = pool_back(positive.shape, where, dx) * (positive > 0)
        g[f"norm_scale_{k}"] = (d_affine * normal).sum(axis=(0, 1, 2))
        g[f"norm_bias_{k}"] = d_affine.sum(axis=(0, 1, 2))
        d_before = norm_back(normal, deviation, d_affine * b[f"norm_scale_{k}"])
        g[f"bias_{k}"] = d_before.sum(axis=(0, 1, 2))
        dx, g[f"kernel_{k}"] = conv_back(x, b[f"kernel_{k}"], d_before)
    return grads


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(logits, labels):
    p = softmax(logits)
    one_hot = np.eye(logits.shape[1])[labels]
    return -np.log(p[np.arange(len(labels)), labels]).mean(), (p - one_hot) / len(labels)


def contrastive(u, yu, v, yv, temperature):
    """Mean over micro clips that have a positive, with the gradients in u and v."""
    q = softmax(u @ v.T / temperature)
    value, d_scores, used = 0.0, np.zeros_like(q), [i for i in range(len(u)) if yu[i] in yv]
    for i in used:
        positive = yv == yu[i]
        value -= np.log(q[i, positive]).mean() / len(used)
        d_scores[i] = (q[i] - positive / positive.sum()) / len(used)
    return value, d_scores @ v / temperature, d_scores.T @ u / temperature


def both(p, images, labels, macro, macro_labels, weight, temperature):
    """P + weight * A on one set of clips, value and gradient."""
    n = len(labels)
    logits, embedding, saved = branches(p, np.concatenate([images, macro]))
    value, d_logits = cross_entropy(logits[:n], labels)
    aligned, du, dv = contrastive(embedding[:n], labels, embedding[n:], macro_labels, temperature)
    d_all = np.concatenate([d_logits, np.zeros_like(logits[n:])])
    gradient = branches_back(p, saved, embedding, d_all, weight * np.concatenate([du, dv]))
    return value + weight * aligned, gradient


def primary(p, images, labels):
    logits, embedding, saved = branches(p, images)
    value, d_logits = cross_entropy(logits, labels)
    return value, branches_back(p, saved, embedding, d_logits, np.zeros_like(embedding))


def combine(p, g, factor):
    return {k: combine(p[k], g[k], factor) if isinstance(p[k], dict) else p[k] + factor * g[k] for k in p}


def objective(p, task, settings):
    """J on one task, and its first-order gradient."""
    s, m, q = task["support"], task["macro"], task["query"]
    phi = p
    for _ in range(settings["inner_steps"]):
        _, gradient = both(phi, *s, *m, settings["lambda"], settings["temperature"])
        phi = combine(phi, gradient, -settings["alpha"])
    outer, d_outer = both(phi, *q, *m, settings["mu"], settings["temperature"])
    images, labels = np.concatenate([s[0], q[0]]), np.concatenate([s[1], q[1]])
    initial, d_initial = primary(p, images, labels)
    return outer + settings["pre"] * initial, combine(d_outer, d_initial, settings["pre"])
