"""The auxiliary loss: how far micro-expressions lie from the macro-expressions of their class, in eight forms.

Each form gives one value per micro clip, takes masks for padding on both sides and never filters in Python. Half-precision input is
computed in float32. Forms differ in what they compare:

- pairs of a micro and a macro clip of one class: `contrastive cosine l2 spatial temporal`
- a micro clip and the classes of the macro clips: `prototype triplet`
- all micro and all macro clips of a class: `mmd`
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from lightman_jax.losses.classification import at_least_single, keep_where

AlignmentForm = Literal["contrastive", "cosine", "l2", "prototype", "triplet", "mmd", "spatial", "temporal"]
ALIGNMENT_FORMS: tuple[AlignmentForm, ...] = get_args(AlignmentForm)

_FAR = 1e8


class _Pairing(NamedTuple):
    """One call's embeddings and masks: `positives [n,M]`, `peers [n,n]` (micro clips of a class), `macro_where [M]`."""

    u: jax.Array
    v: jax.Array
    macro_labels: jax.Array
    positives: jax.Array
    peers: jax.Array
    macro_where: jax.Array
    temperature: float
    margin: float


def alignment_where(
    labels: jax.Array,
    macro_labels: jax.Array,
    *,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Which micro clips have a macro clip of their class, and so take part in the mean of `alignment_loss`.

    Args:
      labels: `[n]` classes of the micro clips.
      macro_labels: `[M]` classes of the macro clips.
      where: `[n]` bool, False marks padding.
      macro_where: `[M]` bool, False marks padding.

    Returns:
      `[n]` bool.

    >>> alignment_where(jnp.array([0, 1]), jnp.array([1, 1])).tolist()
    [False, True]
    """
    return _positives(labels, macro_labels, where, macro_where).any(axis=1)


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
    """Distance between embeddings u of micro-expression clips and embeddings v of macro-expression clips of the same class.

    A micro-expression is a brief, faint facial movement, a macro-expression the same movement at ordinary strength. The
    loss draws the faint clip towards the clear ones of its class. In words of other fields: it aligns samples of a hard domain
    (`micro`) with labelled samples of an easy one (`macro`) that has the same classes.

    With `P(i)` the macro clips of the class of micro clip i, `N(i)` the other macro clips, `t` the temperature:

    - `contrastive`: `-mean_{p in P(i)} log( exp(u_i.v_p / t) / sum_m exp(u_i.v_m / t) )`
    - `cosine`: `mean_{p in P(i)} (1 - u_i.v_p)`
    - `l2`: `mean_{p in P(i)} |u_i - v_p|^2`
    - `prototype`: `-log( exp(-|u_i - c_y|^2 / t) / sum_k exp(-|u_i - c_k|^2 / t) )`, `c_k` the mean of the macro clips of class k
    - `triplet`: `mean_{p in P(i), q in N(i)} max(0, margin + u_i.v_q - u_i.v_p)`; 0 if there is no other class
    - `mmd`: `mean_{j of the class of i} k(u_i,u_j) - 2 mean_{p} k(u_i,v_p) + mean_{p,q} k(v_p,v_q)`, p and q in `P(i)`, kernel
      `k(a,b) = exp(-|a-b|^2 / 2)`: over the clips of a class this averages to the squared maximum mean discrepancy
    - `spatial`: `mean_{p in P(i)} mean_places (1 - u_i(place).v_p(place))`
    - `temporal`: `mean_{p in P(i)} soft-DTW_t of the costs 1 - u_i(frame).v_p(frame')`, divided by the longer length

    Args:
      micro: `[n, E]` embeddings of micro clips, of unit length where the form uses products; `[n, ..., E]` with one axis or more of
        places for `spatial`, `[n, frames, E]` for `temporal`.
      labels: `[n]` their classes.
      macro: `[M, E]` embeddings of macro clips, or with places or frames as `micro` (frame numbers may differ).
      macro_labels: `[M]` their classes, in the same label space.
      form: one of the eight names above.
      temperature: t of `contrastive`, `prototype` and `temporal`, above 0.
      margin: of `triplet`, in units of the cosine.
      where: `[n]` bool, False marks padding.
      macro_where: `[M]` bool, False marks padding.
      stop_macro: treat v as fixed, so that micro clips move to macro clips and not the reverse.

    Returns:
      `[n]`; 0 for padding and for a clip without a macro clip of its class (leave those out of a mean by `alignment_where`).

    Raises:
      ValueError: unknown form, or embeddings of a shape that the form cannot compare.

    Reference: the auxiliary task of arXiv 2404.12024 (abstract: align micro- with macro-expression images). The abstract
    gives no formula: Choice. `contrastive` follows Khosla et al. 2020 (supervised contrastive learning), `prototype` Snell et al.
    2017, `mmd` Gretton et al. 2012 by class, `temporal` Cuturi and Blondel 2017.

    >>> u, v = jnp.eye(2), jnp.eye(2)
    >>> alignment_loss(u, jnp.array([0, 1]), v, jnp.array([0, 1]), form="cosine").tolist()
    [0.0, 0.0]
    >>> values = alignment_loss(u, jnp.array([0, 7]), v, jnp.array([1, 0]), form="l2")
    >>> values.tolist()  # The second clip has no macro clip of class 7.
    [2.0, 0.0]
    >>> import lightman_jax as lj
    >>> float(lj.mean_where(values, lj.alignment_where(jnp.array([0, 7]), jnp.array([1, 0]))))
    2.0
    """
    if form not in ALIGNMENT_FORMS:
        raise ValueError(f"alignment form {form!r} is unknown; choose one of {', '.join(ALIGNMENT_FORMS)}")
    _check_shapes(micro, labels, macro, macro_labels, form)
    result_dtype = jnp.result_type(micro.dtype, macro.dtype)
    if 0 in (micro.shape[0], macro.shape[0]):
        return jnp.zeros(labels.shape, result_dtype)
    dtype = at_least_single(result_dtype)
    u = keep_where(micro, where).astype(dtype)
    v = keep_where(macro, macro_where).astype(dtype)
    if stop_macro:
        v = jax.lax.stop_gradient(v)
    pairing = _Pairing(
        u=u,
        v=v,
        macro_labels=macro_labels,
        positives=_positives(labels, macro_labels, where, macro_where),
        peers=_positives(labels, labels, where, where),
        macro_where=jnp.ones(macro_labels.shape, bool) if macro_where is None else macro_where,
        temperature=temperature,
        margin=margin,
    )
    values = _VALUES[form](pairing)
    aligned = pairing.positives.any(axis=1)
    return jnp.where(aligned, values, jnp.zeros_like(values)).astype(result_dtype)


def soft_dtw(cost: jax.Array, *, gamma: float) -> jax.Array:
    """Soft dynamic time warping, `R[i,j] = cost[i,j] + softmin_gamma(R[i-1,j], R[i,j-1], R[i-1,j-1])`, at the last cell.

    `softmin_gamma(x) = -gamma log sum exp(-x / gamma)`: the least cost of a monotone path through the matrix as gamma goes to
    0, and differentiable everywhere above. It is computed diagonal by diagonal.

    Args:
      cost: `[F, G]` cost of matching frame i of one sequence with frame j of the other.
      gamma: softness, above 0.

    Returns:
      Scalar.

    Reference: Cuturi and Blondel 2017, "Soft-DTW: a Differentiable Loss Function for Time-Series".

    >>> round(float(soft_dtw(jnp.array([[0.0, 5.0], [5.0, 1.0]]), gamma=0.01)), 4)
    1.0
    """
    rows, columns = cost.shape
    number = jnp.arange(rows + 1)
    far = jnp.full(rows + 1, _FAR, cost.dtype)

    def diagonal(before: tuple[jax.Array, jax.Array], k: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        older, newer = before
        column = k - number
        inside = (number >= 1) & (column >= 1) & (column <= columns)
        steps = jnp.stack([jnp.roll(newer, 1), newer, jnp.roll(older, 1)])
        least = -gamma * jax.nn.logsumexp(-steps / gamma, axis=0)
        here = cost[jnp.maximum(number - 1, 0), jnp.clip(column - 1, 0, columns - 1)]
        return (newer, jnp.where(inside, here + least, far)), None

    start = (far.at[0].set(0), far)
    (_, last), _ = jax.lax.scan(diagonal, start, jnp.arange(2, rows + columns + 1))
    return last[rows]


def _positives(
    labels: jax.Array, macro_labels: jax.Array, where: jax.Array | None, macro_where: jax.Array | None
) -> jax.Array:
    same = labels[:, None] == macro_labels[None, :]
    if where is not None:
        same = same & where[:, None]
    if macro_where is not None:
        same = same & macro_where[None, :]
    return same


def _check_shapes(
    micro: jax.Array, labels: jax.Array, macro: jax.Array, macro_labels: jax.Array, form: AlignmentForm
) -> None:
    shapes = f"micro {micro.shape} and macro {macro.shape}"
    if micro.shape[:1] != labels.shape or macro.shape[:1] != macro_labels.shape:
        raise ValueError(f"{shapes} need one label a clip, got labels {labels.shape} and {macro_labels.shape}")
    if form == "spatial":
        fits, wanted = micro.ndim >= 3 and micro.shape[1:] == macro.shape[1:], "[n, places..., E] and [M, places..., E]"
    elif form == "temporal":
        fits = micro.ndim == macro.ndim == 3 and micro.shape[-1] == macro.shape[-1]
        wanted = "[n, frames, E] and [M, frames, E]"
    else:
        fits, wanted = micro.ndim == macro.ndim == 2 and micro.shape[-1] == macro.shape[-1], "[n, E] and [M, E]"
    if not fits:
        raise ValueError(f"alignment form {form!r} compares {wanted}, got {shapes}; `apply_branches` gives both kinds")


def _mean(values: jax.Array, mask: jax.Array, axis: int | tuple[int, ...] = 1) -> jax.Array:
    """Mean over `axis` where the mask holds, 0 where it holds nowhere."""
    kept = jnp.where(mask, values, jnp.zeros_like(values)).sum(axis=axis)
    return kept / jnp.maximum(mask.sum(axis=axis), 1).astype(values.dtype)


def _squared_distances(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.square(a[:, None, :] - b[None, :, :]).sum(axis=-1)


def _contrastive(p: _Pairing) -> jax.Array:
    scores = jnp.where(p.macro_where[None, :], (p.u @ p.v.T) / p.temperature, jnp.finfo(p.u.dtype).min)
    return _mean(-jax.nn.log_softmax(scores, axis=1), p.positives)


def _cosine(p: _Pairing) -> jax.Array:
    return _mean(1 - p.u @ p.v.T, p.positives)


def _l2(p: _Pairing) -> jax.Array:
    return _mean(_squared_distances(p.u, p.v), p.positives)


def _prototype(p: _Pairing) -> jax.Array:
    # A class stands once in the sum for each of its macro clips, so each of them counts one part of it.
    same = (p.macro_labels[:, None] == p.macro_labels[None, :]) & p.macro_where[None, :]
    count = jnp.maximum(same.sum(axis=1), 1).astype(p.u.dtype)
    centres = (same.astype(p.u.dtype) @ p.v) / count[:, None]
    scores = -_squared_distances(p.u, centres) / p.temperature
    parts = jnp.where(p.macro_where[None, :], scores - jnp.log(count)[None, :], jnp.finfo(p.u.dtype).min)
    return jax.nn.logsumexp(parts, axis=1) - _mean(scores, p.positives)


def _triplet(p: _Pairing) -> jax.Array:
    similarity = p.u @ p.v.T
    hinges = jax.nn.relu(p.margin + similarity[:, None, :] - similarity[:, :, None])
    negatives = p.macro_where[None, :] & ~p.positives
    return _mean(hinges, p.positives[:, :, None] & negatives[:, None, :], axis=(1, 2))


def _mmd(p: _Pairing) -> jax.Array:
    def kernel(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.exp(-0.5 * _squared_distances(a, b))

    pairs = p.positives[:, :, None] & p.positives[:, None, :]
    among_macro = _mean(jnp.broadcast_to(kernel(p.v, p.v)[None], pairs.shape), pairs, axis=(1, 2))
    return _mean(kernel(p.u, p.u), p.peers) - 2 * _mean(kernel(p.u, p.v), p.positives) + among_macro


def _spatial(p: _Pairing) -> jax.Array:
    places = p.u[0, ..., 0].size
    products = p.u.reshape(p.u.shape[0], -1) @ p.v.reshape(p.v.shape[0], -1).T
    return _mean(1 - products / places, p.positives)


def _temporal(p: _Pairing) -> jax.Array:
    costs = 1 - jnp.einsum("nfe,mge->nmfg", p.u, p.v)
    distance = jax.vmap(jax.vmap(lambda cost: soft_dtw(cost, gamma=p.temperature)))(costs)
    return _mean(distance / max(costs.shape[2:]), p.positives)


_VALUES: dict[AlignmentForm, Callable[[_Pairing], jax.Array]] = {
    "contrastive": _contrastive,
    "cosine": _cosine,
    "l2": _l2,
    "prototype": _prototype,
    "triplet": _triplet,
    "mmd": _mmd,
    "spatial": _spatial,
    "temporal": _temporal,
}
