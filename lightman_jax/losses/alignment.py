"""Alignment losses: distances between micro-expression and macro-expression embeddings of the same class.

A micro-expression is a brief, faint facial movement; a macro-expression is the same movement at ordinary strength. In general
terms, these losses align samples of a hard domain (micro) with labelled samples of an easy domain (macro) with the same classes.

Every loss returns one value per micro clip and computes half-precision inputs in float32. In the formulas, `u_i` is the embedding
of micro clip i, `v_m` the embedding of macro clip m, `P(i)` the macro clips of the class of micro clip i, `N(i)` the others.

Reference: the auxiliary task of arXiv 2404.12024. Its abstract gives no formula. Choice: `contrastive` is the default.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from lightman_jax.checks import as_floats, check_number, transferring
from lightman_jax.losses.pairs import Pairs, make_pairs, masked_mean, same_class, squared_distances
from lightman_jax.losses.soft_dtw import soft_dtw

AlignmentForm = Literal["contrastive", "cosine", "l2", "prototype", "triplet", "mmd", "spatial", "temporal"]


@transferring
def contrastive(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    temperature: float = 0.1,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Supervised contrastive loss, `-mean_{p in P(i)} log( exp(u_i.v_p / t) / sum_m exp(u_i.v_m / t) )`.

    `P(i)` are the macro clips of the class of micro clip i; m runs over all macro clips.

    Args:
      micro: `[n, E]` embeddings u of micro clips, of unit length.
      micro_labels: `[n]` class indices of the micro clips.
      macro: `[M, E]` embeddings v of macro clips, of unit length.
      macro_labels: `[M]` class indices of the macro clips, in the same label space.
      temperature: t, above 0.
      where: `[n]` bool, False marks padding among the micro clips.
      macro_where: `[M]` bool, False marks padding among the macro clips.

    Returns:
      `[n]` losses; 0 for padding and for micro clips without a macro clip of their class. Exclude these from a mean with
      `alignment_where`.

    Raises:
      ValueError: shapes do not match, labels are no class indices, or the temperature is not above 0.

    Reference: Khosla et al. 2020, "Supervised Contrastive Learning".

    >>> micro, macro = jnp.eye(2), jnp.eye(2)
    >>> print(contrastive(micro, jnp.array([0, 1]), macro, jnp.array([0, 1]), temperature=1.0).round(2))
    [0.31 0.31]
    """
    check_number("temperature", temperature, above=0)
    pairs = _vector_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    lowest = jnp.finfo(pairs.micro.dtype).min
    logits = jnp.where(pairs.macro_where[None, :], (pairs.micro @ pairs.macro.T) / temperature, lowest)
    return pairs.result(pairs.mean(-jax.nn.log_softmax(logits, axis=1)))


@transferring
def cosine(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Cosine distance, `mean_{p in P(i)} (1 - u_i.v_p)`. Arguments and result as in `contrastive`.

    >>> print(cosine(jnp.eye(2), jnp.array([0, 1]), jnp.eye(2), jnp.array([0, 1])))
    [0. 0.]
    """
    pairs = _vector_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    return pairs.result(pairs.mean(1 - pairs.micro @ pairs.macro.T))


@transferring
def l2(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Squared Euclidean distance, `mean_{p in P(i)} |u_i - v_p|^2`.

    Arguments and result as in `contrastive`; embeddings may have any length.

    >>> print(l2(jnp.eye(2), jnp.array([0, 7]), jnp.eye(2), jnp.array([1, 0])))  # No macro clip of class 7.
    [2. 0.]
    """
    pairs = _vector_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    return pairs.result(pairs.mean(squared_distances(pairs.micro, pairs.macro)))


@transferring
def prototype(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    temperature: float = 0.1,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Prototypical loss, `-log( exp(-|u_i - c_y|^2 / t) / sum_k exp(-|u_i - c_k|^2 / t) )`.

    `c_k` is the mean of the macro embeddings of class k, y the class of micro clip i, t the temperature. Arguments and result as in
    `contrastive`; embeddings may have any length.

    Reference: Snell et al. 2017, "Prototypical Networks for Few-shot Learning".

    >>> print(prototype(jnp.eye(2), jnp.array([0, 1]), jnp.eye(2), jnp.array([0, 1]), temperature=1.0).round(2))
    [0.13 0.13]
    """
    check_number("temperature", temperature, above=0)
    pairs = _vector_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    dtype, valid = pairs.micro.dtype, pairs.macro_where[None, :]
    # The sum over classes is a sum over macro clips, each weighted by 1 / (number of macro clips of its class).
    same = (pairs.macro_labels[:, None] == pairs.macro_labels[None, :]) & valid
    count = jnp.maximum(same.sum(axis=1), 1).astype(dtype)
    prototypes = (same.astype(dtype) @ pairs.macro) / count[:, None]
    logits = -squared_distances(pairs.micro, prototypes) / temperature
    weighted = jnp.where(valid, logits - jnp.log(count)[None, :], jnp.finfo(dtype).min)
    return pairs.result(jax.nn.logsumexp(weighted, axis=1) - pairs.mean(logits))


@transferring
def triplet(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    margin: float = 0.5,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Triplet loss, `mean_{p in P(i), q in N(i)} max(0, margin + u_i.v_q - u_i.v_p)`.

    `N(i)` are the macro clips of other classes; without any, the loss is 0. Arguments and result as in `contrastive`; `margin` is a
    difference of cosines.

    Reference: Schroff et al. 2015, "FaceNet"; here with cosines in place of distances.

    >>> print(triplet(jnp.eye(2), jnp.array([0, 1]), jnp.eye(2), jnp.array([0, 1]), margin=1.5))
    [0.5 0.5]
    """
    check_number("margin", margin, least=0)
    pairs = _vector_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    similarity = pairs.micro @ pairs.macro.T
    hinges = jax.nn.relu(margin + similarity[:, None, :] - similarity[:, :, None])
    negatives = pairs.macro_where[None, :] & ~pairs.positives
    return pairs.result(masked_mean(hinges, pairs.positives[:, :, None] & negatives[:, None, :], axis=(1, 2)))


@transferring
def mmd(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Maximum mean discrepancy (MMD), `mean_j k(u_i, u_j) - 2 mean_p k(u_i, v_p) + mean_{p,q} k(v_p, v_q)`.

    j runs over the micro clips of the class of i, p and q over `P(i)`; the kernel is `k(a, b) = exp(-|a - b|^2 / 2)`. The mean over
    the micro clips of a class is the squared MMD of the class. Arguments and result as in `contrastive`; embeddings may have any
    length.

    Reference: Gretton et al. 2012, "A Kernel Two-Sample Test".

    >>> print(mmd(jnp.eye(2), jnp.array([0, 0]), jnp.eye(2), jnp.array([0, 0])))
    [0. 0.]
    """

    def kernel(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.exp(-0.5 * squared_distances(a, b))

    pairs = _vector_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    both = pairs.positives[:, :, None] & pairs.positives[:, None, :]
    among_macro = masked_mean(jnp.broadcast_to(kernel(pairs.macro, pairs.macro)[None], both.shape), both, axis=(1, 2))
    same_micro = same_class(pairs.micro_labels, pairs.micro_labels, pairs.micro_where, pairs.micro_where)
    among_micro = masked_mean(kernel(pairs.micro, pairs.micro), same_micro)
    return pairs.result(among_micro - 2 * pairs.mean(kernel(pairs.micro, pairs.macro)) + among_macro)


@transferring
def spatial(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Cosine distance per position x of the feature maps, `mean_{p in P(i)} mean_x (1 - u_i(x).v_p(x))`.

    Arguments and result as in `contrastive`, with embeddings `[n, h, w, E]` and `[M, h, w, E]` (`Outputs.maps`).

    >>> print(spatial(jnp.ones((1, 2, 2, 1)), jnp.array([0]), jnp.ones((1, 2, 2, 1)), jnp.array([0])))
    [0.]
    """
    micro, macro = as_floats(micro, "micro embeddings"), as_floats(macro, "macro embeddings")
    fits = micro.ndim >= 3 and micro.shape[1:] == macro.shape[1:]
    _require(fits, "[n, h, w, E] and [M, h, w, E] (Outputs.maps)", micro, micro_labels, macro, macro_labels)
    pairs = make_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    size, positions = math.prod(micro.shape[1:]), math.prod(micro.shape[1:-1])
    products = pairs.micro.reshape(-1, size) @ pairs.macro.reshape(-1, size).T
    return pairs.result(pairs.mean(1 - products / positions))


@transferring
def temporal(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    temperature: float = 0.1,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Soft-DTW distance of frame embeddings, `mean_{p in P(i)} soft_dtw_t(1 - u_i(f).v_p(g)) / max(F, G)`.

    Arguments and result as in `contrastive`, with embeddings `[n, F, E]` and `[M, G, E]` of F and G frames (`Outputs.frames`); the
    temperature t is gamma of `soft_dtw`.

    Reference: Cuturi and Blondel 2017, "Soft-DTW: a Differentiable Loss Function for Time-Series".

    >>> print(temporal(jnp.ones((1, 1, 1)), jnp.array([0]), jnp.zeros((1, 1, 1)), jnp.array([0])))
    [1.]
    """
    check_number("temperature", temperature, above=0)
    micro, macro = as_floats(micro, "micro embeddings"), as_floats(macro, "macro embeddings")
    fits = micro.ndim == macro.ndim == 3 and micro.shape[-1] == macro.shape[-1]
    _require(fits, "[n, frames, E] and [M, frames, E] (Outputs.frames)", micro, micro_labels, macro, macro_labels)
    pairs = make_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)
    costs = 1 - jnp.einsum("nfe,mge->nmfg", pairs.micro, pairs.macro)
    distance = jax.vmap(jax.vmap(lambda cost: soft_dtw(cost, gamma=temperature)))(costs)
    return pairs.result(pairs.mean(distance / max(costs.shape[2:])))


ALIGNMENT_LOSSES: dict[AlignmentForm, Callable[..., jax.Array]] = {
    "contrastive": contrastive,
    "cosine": cosine,
    "l2": l2,
    "prototype": prototype,
    "triplet": triplet,
    "mmd": mmd,
    "spatial": spatial,
    "temporal": temporal,
}
"""The alignment losses by name."""


@transferring
def alignment_loss(
    micro: jax.Array,
    labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    *,
    form: AlignmentForm = "contrastive",
    temperature: float = 0.1,
    margin: float = 0.5,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
    stop_macro: bool = False,
) -> jax.Array:
    """Alignment loss by name, `ALIGNMENT_LOSSES[form](...)`.

    Args:
      micro: `[n, ...]` embeddings of micro clips, as the form requires.
      labels: `[n]` class indices of the micro clips.
      macro: `[M, ...]` embeddings of macro clips.
      macro_labels: `[M]` class indices of the macro clips.
      form: a key of `ALIGNMENT_LOSSES`.
      temperature: of `contrastive`, `prototype` and `temporal`; other forms ignore it.
      margin: of `triplet`; other forms ignore it.
      where: `[n]` bool, False marks padding among the micro clips.
      macro_where: `[M]` bool, False marks padding among the macro clips.
      stop_macro: treat the macro embeddings as constants, so that gradients reach the micro embeddings only.

    Returns:
      `[n]` losses; 0 for padding and for micro clips without a macro clip of their class.

    Raises:
      ValueError: unknown form, shapes that the form cannot compare, labels that are no class indices, a temperature that is not
        above 0, or a negative margin.

    >>> micro, macro = jnp.eye(2), jnp.eye(2)
    >>> print(alignment_loss(micro, jnp.array([0, 1]), macro, jnp.array([1, 0]), form="l2"))
    [2. 2.]
    """
    if form not in ALIGNMENT_LOSSES:
        raise ValueError(f"alignment form {form!r} is unknown; choose one of {', '.join(ALIGNMENT_LOSSES)}")
    options: dict[str, float] = {}
    if form in ("contrastive", "prototype", "temporal"):
        options["temperature"] = temperature
    elif form == "triplet":
        options["margin"] = margin
    macro = jax.lax.stop_gradient(macro) if stop_macro else macro
    return ALIGNMENT_LOSSES[form](micro, labels, macro, macro_labels, where=where, macro_where=macro_where, **options)


def _vector_pairs(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    where: jax.Array | None,
    macro_where: jax.Array | None,
) -> Pairs:
    micro, macro = as_floats(micro, "micro embeddings"), as_floats(macro, "macro embeddings")
    fits = micro.ndim == macro.ndim == 2 and micro.shape[-1] == macro.shape[-1]
    _require(fits, "[n, E] and [M, E] (Outputs.embedding)", micro, micro_labels, macro, macro_labels)
    return make_pairs(micro, micro_labels, macro, macro_labels, where, macro_where)


def _require(
    fits: bool, shapes: str, micro: jax.Array, micro_labels: jax.Array, macro: jax.Array, macro_labels: jax.Array
) -> None:
    found = f"micro {micro.shape} and macro {macro.shape}"
    shapes_of_labels = np.shape(micro_labels), np.shape(macro_labels)
    if (micro.shape[:1], macro.shape[:1]) != shapes_of_labels:
        raise ValueError(f"{found} need one label per clip, got labels {shapes_of_labels[0]} and {shapes_of_labels[1]}")
    if not fits:
        raise ValueError(f"this alignment loss compares embeddings {shapes}, got {found}")
