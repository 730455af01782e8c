"""Pure losses of both branches: one value per clip, `where=` for padding, no reduction and no filtering in Python."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

PrimaryForm = Literal["cross_entropy", "focal"]
AlignmentForm = Literal["contrastive", "cosine"]
PRIMARY_FORMS: tuple[PrimaryForm, ...] = ("cross_entropy", "focal")
ALIGNMENT_FORMS: tuple[AlignmentForm, ...] = ("contrastive", "cosine")


def mean_where(values: jax.Array, where: jax.Array | None = None) -> jax.Array:
    """Mean of the entries where `where` holds; 0 if it holds nowhere.

    Args:
      values: `[n]`.
      where: `[n]` bool; None takes every entry.

    Returns:
      Scalar.

    >>> float(mean_where(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])))
    2.0
    """
    if where is None:
        return jnp.mean(values)
    chex.assert_equal_shape([values, where])
    kept = jnp.where(where, values, jnp.zeros_like(values))
    return kept.sum() / jnp.maximum(where.sum(), 1).astype(values.dtype)


def primary_loss(
    logits: jax.Array, labels: jax.Array, *, where: jax.Array | None = None, class_weights: jax.Array | None = None
) -> jax.Array:
    """Softmax cross-entropy of the micro-expression class, `-w_y log p_y`.

    Args:
      logits: `[n, N]`, nats.
      labels: `[n]` class indices.
      where: `[n]` bool; padded clips give 0.
      class_weights: `[N]` weights w, for example from inverse class frequency; None means 1.

    Returns:
      `[n]`, nats.

    Reference: cross-entropy from optax. The abstract of arXiv 2404.12024 names no loss for the primary branch: Choice.

    >>> print(primary_loss(jnp.array([[0.0, 0.0]]), jnp.array([1])))
    [0.6931472]
    """
    chex.assert_rank([logits, labels], [2, 1])
    values = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if class_weights is not None:
        values = values * class_weights[labels]
    return values if where is None else jnp.where(where, values, jnp.zeros_like(values))


def focal_loss(
    logits: jax.Array, labels: jax.Array, *, gamma: float = 2.0, where: jax.Array | None = None
) -> jax.Array:
    """Multi-class focal cross-entropy, `-(1 - p_y)^gamma log p_y`; `gamma = 0` is `primary_loss`.

    `(1 - p)^gamma` is written as `exp(gamma log(1 - p))` with `log(1 - p)` held above a floor, so value and gradient
    stay finite where p reaches 1.

    Args:
      logits: `[n, N]`, nats.
      labels: `[n]` class indices.
      gamma: focus on hard clips, at least 0.
      where: `[n]` bool; padded clips give 0.

    Returns:
      `[n]`, nats.

    Reference: Lin et al. 2017, "Focal Loss for Dense Object Detection".

    >>> print(focal_loss(jnp.array([[0.0, 0.0]]), jnp.array([1]), gamma=2.0))
    [0.1732868]
    """
    chex.assert_rank([logits, labels], [2, 1])
    log_p = -optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    # Held strictly below 0, where 1 - p would lose every digit and its logarithm its gradient.
    tiny = jnp.asarray(jnp.finfo(logits.dtype).eps, logits.dtype)
    log_rest = jnp.log(-jnp.expm1(jnp.minimum(log_p, -tiny)))
    values = -jnp.exp(gamma * log_rest) * log_p
    return values if where is None else jnp.where(where, values, jnp.zeros_like(values))


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
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
    stop_macro: bool = False,
) -> jax.Array:
    """Distance between micro-expression embeddings u and the macro-expression embeddings v of the same class.

    With `P(i)` the macro clips of the class of micro clip i:

    - `contrastive`: `-mean_{p in P(i)} log( exp(u_i.v_p / t) / sum_m exp(u_i.v_m / t) )`
    - `cosine`: `mean_{p in P(i)} (1 - u_i.v_p)`

    Args:
      micro: `[n, E]` unit-length embeddings of micro clips.
      labels: `[n]` their classes.
      macro: `[M, E]` unit-length embeddings of macro clips.
      macro_labels: `[M]` their classes, in the same label space.
      form: `contrastive` or `cosine`.
      temperature: t of the contrastive form, above 0.
      where: `[n]` bool, False marks padding.
      macro_where: `[M]` bool, False marks padding.
      stop_macro: treat v as fixed, so that micro clips move to macro clips and not the reverse.

    Returns:
      `[n]`; 0 for padding and for a clip without a macro clip of its class (leave those out of a mean by `alignment_where`).

    Raises:
      ValueError: unknown form.

    Reference: the auxiliary task of arXiv 2404.12024 (abstract: align micro- with macro-expression images). The abstract
    gives no formula. Choice: every macro clip of the class is a positive, as in Khosla et al. 2020, "Supervised
    Contrastive Learning".

    >>> u, v = jnp.eye(2), jnp.eye(2)
    >>> alignment_loss(u, jnp.array([0, 1]), v, jnp.array([0, 1]), form="cosine").tolist()
    [0.0, 0.0]
    """
    chex.assert_rank([micro, labels, macro, macro_labels], [2, 1, 2, 1])
    chex.assert_equal(micro.shape[1], macro.shape[1])
    positives = _positives(labels, macro_labels, where, macro_where)
    similarity = micro @ (jax.lax.stop_gradient(macro) if stop_macro else macro).T
    if form == "contrastive":
        scores = similarity / temperature
        if macro_where is not None:
            scores = jnp.where(macro_where[None, :], scores, jnp.finfo(scores.dtype).min)
        pairs = -jax.nn.log_softmax(scores, axis=1)
    elif form == "cosine":
        pairs = 1 - similarity
    else:
        raise ValueError(f"alignment form {form!r} is unknown; choose one of {', '.join(ALIGNMENT_FORMS)}")
    kept = jnp.where(positives, pairs, jnp.zeros_like(pairs)).sum(axis=1)
    return kept / jnp.maximum(positives.sum(axis=1), 1).astype(kept.dtype)


def _positives(
    labels: jax.Array, macro_labels: jax.Array, where: jax.Array | None, macro_where: jax.Array | None
) -> jax.Array:
    same = labels[:, None] == macro_labels[None, :]
    if where is not None:
        same = same & where[:, None]
    if macro_where is not None:
        same = same & macro_where[None, :]
    return same
