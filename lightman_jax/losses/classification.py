"""Pure losses of recognition: one value per clip, `where=` for padding, no reduction and no filtering in Python."""

from typing import Literal, get_args

import chex
import jax
import jax.numpy as jnp
import optax

PrimaryForm = Literal["cross_entropy", "balanced", "focal"]
PRIMARY_FORMS: tuple[PrimaryForm, ...] = get_args(PrimaryForm)


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


def keep_where(values: jax.Array, where: jax.Array | None) -> jax.Array:
    """Zeros in the rows that are padding: whatever stood there, nan included, reaches neither value nor gradient.

    Args:
      values: `[n, ...]`.
      where: `[n]` bool; None keeps every row.

    Returns:
      Like `values`.

    >>> keep_where(jnp.array([1.0, jnp.nan]), jnp.array([True, False])).tolist()
    [1.0, 0.0]
    """
    if where is None:
        return values
    return jnp.where(jnp.expand_dims(where, range(1, values.ndim)), values, jnp.zeros_like(values))


def at_least_single(dtype: jnp.dtype) -> jnp.dtype:
    """The floating dtype to compute in: float32 for half precision, else the dtype itself.

    >>> at_least_single(jnp.bfloat16).name, at_least_single(jnp.float32).name
    ('float32', 'float32')
    """
    return jnp.dtype(jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype)


def primary_loss(
    logits: jax.Array, labels: jax.Array, *, where: jax.Array | None = None, class_weights: jax.Array | None = None
) -> jax.Array:
    """Softmax cross-entropy of the micro-expression class, `-w_y log p_y`.

    Args:
      logits: `[n, N]`, nats.
      labels: `[n]` class indices.
      where: `[n]` bool; padded clips give 0.
      class_weights: `[N]` weights w, for example `balanced_weights`; None means 1.

    Returns:
      `[n]`, nats.

    Reference: cross-entropy from optax. The abstract of arXiv 2404.12024 names no loss for the primary branch: Choice.

    >>> print(primary_loss(jnp.array([[0.0, 0.0]]), jnp.array([1])))
    [0.6931472]
    """
    chex.assert_rank([logits, labels], [2, 1])
    values = optax.softmax_cross_entropy_with_integer_labels(keep_where(logits, where), labels)
    if class_weights is not None:
        values = values * class_weights[labels].astype(values.dtype)
    return keep_where(values, where)


def balanced_weights(labels: jax.Array, classes: int, *, where: jax.Array | None = None) -> jax.Array:
    """Weights that make every class count alike, `w_c = n / (number of classes present * n_c)`.

    Args:
      labels: `[n]` class indices.
      classes: N.
      where: `[n]` bool, False marks padding.

    Returns:
      `[N]` float32; 0 for a class without a clip. Their mean over the clips is 1.

    >>> balanced_weights(jnp.array([0, 0, 0, 1]), 3).tolist()
    [0.6666666865348816, 2.0, 0.0]
    """
    counted = keep_where(jax.nn.one_hot(labels, classes, dtype=jnp.float32), where).sum(axis=0)
    present = counted > 0
    share = counted.sum() / jnp.maximum(present.sum(), 1).astype(jnp.float32)
    return jnp.where(present, share / jnp.maximum(counted, 1), 0)


def focal_loss(
    logits: jax.Array, labels: jax.Array, *, gamma: float = 2.0, where: jax.Array | None = None
) -> jax.Array:
    """Multi-class focal cross-entropy, `-sum_a y_a (1 - p_a)^gamma log p_a`; `gamma = 0` is `primary_loss`.

    `(1 - p)^gamma` is written as `exp(gamma log(1 - p))` with `log(1 - p)` held above a floor, so value and gradient
    stay finite where p reaches 1.

    Args:
      logits: `[n, N]`, nats.
      labels: `[n]` class indices, or `[n, N]` soft labels y that sum to 1.
      gamma: focus on hard clips, at least 0.
      where: `[n]` bool; padded clips give 0.

    Returns:
      `[n]`, nats.

    Reference: Lin et al. 2017, "Focal Loss for Dense Object Detection"; with soft labels as in Liu et al. 2019,
    "Self-Supervised Generalisation with Meta Auxiliary Learning", where gamma is 2.

    >>> print(focal_loss(jnp.array([[0.0, 0.0]]), jnp.array([1]), gamma=2.0))
    [0.1732868]
    """
    chex.assert_rank([logits, labels], [2, {1, 2}])
    log_p = jax.nn.log_softmax(keep_where(logits, where), axis=1)
    # Held strictly below 0, where 1 - p would lose every digit and its logarithm its gradient.
    tiny = jnp.asarray(jnp.finfo(logits.dtype).eps, logits.dtype)
    log_rest = jnp.log(-jnp.expm1(jnp.minimum(log_p, -tiny)))
    values = -jnp.exp(gamma * log_rest) * log_p
    if labels.ndim == 1:
        values = jnp.take_along_axis(values, labels[:, None], axis=1)[:, 0]
    else:
        # A soft label of 0 beside a logit that overflows would otherwise be 0 times infinity.
        soft = keep_where(labels, where)
        values = jnp.where(soft > 0, soft * jnp.where(soft > 0, values, 0), 0).sum(axis=1)
    return keep_where(values, where)


def entropy_loss(probabilities: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """How unevenly the clips together use the classes, `sum_a p_ia log q_a` with `q` the mean of `p` over the clips.

    The mean over the clips is `sum_a q_a log q_a`, minus the entropy of q: lowest, `-log A`, where all classes are used
    alike. It keeps generated labels from falling into one class.

    Args:
      probabilities: `[n, A]`, rows that sum to 1; 0 and 1 are allowed.
      where: `[n]` bool; padded clips give 0 and take no part in q.

    Returns:
      `[n]`, nats.

    Reference: Liu et al. 2019, "Self-Supervised Generalisation with Meta Auxiliary Learning", the entropy term; its 1e-20
    inside the logarithm.

    >>> print(entropy_loss(jnp.array([[1.0, 0.0], [0.0, 1.0]])))
    [-0.6931472 -0.6931472]
    """
    chex.assert_rank(probabilities, 2)
    p = keep_where(probabilities, where).astype(at_least_single(probabilities.dtype))
    count = p.shape[0] if where is None else jnp.maximum(where.sum(), 1).astype(p.dtype)
    mean = p.sum(axis=0) / count
    return (p @ jnp.log(mean + 1e-20)).astype(probabilities.dtype)
