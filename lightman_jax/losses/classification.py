"""Classification losses: one value per clip, `where=` masks for padding, no reduction."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lightman_jax.checks import as_floats, as_labels, as_mask, check_number, check_rows_sum_to_one, transferring

PrimaryForm = Literal["cross_entropy", "balanced", "focal"]
PRIMARY_FORMS: tuple[PrimaryForm, ...] = get_args(PrimaryForm)


@transferring
def mean_where(values: jax.Array, where: jax.Array | None = None) -> jax.Array:
    """Mean of the values under a mask; 0 if the mask is empty.

    Args:
      values: `[n]`.
      where: `[n]` bool; None includes every value.

    Returns:
      Scalar.

    >>> float(mean_where(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])))
    2.0
    """
    values = jnp.asarray(values)
    values = values if jnp.issubdtype(values.dtype, np.floating) else values.astype(jnp.float32)
    if where is None:
        return jnp.mean(values)
    where = as_mask(where, *values.shape)
    kept = jnp.where(where, values, jnp.zeros_like(values))
    return kept.sum() / jnp.maximum(where.sum(), 1).astype(values.dtype)


def keep_where(values: jax.Array, where: jax.Array | None) -> jax.Array:
    """Set masked rows to zero, so that padding (nan included) affects neither values nor gradients.

    Args:
      values: `[n, ...]`.
      where: `[n]` bool, False marks padding; None keeps every row.

    Returns:
      Array of the same shape.

    >>> keep_where(jnp.array([1.0, jnp.nan]), jnp.array([True, False])).tolist()
    [1.0, 0.0]
    """
    if where is None:
        return values
    return jnp.where(jnp.expand_dims(where, range(1, values.ndim)), values, jnp.zeros_like(values))


def at_least_single(dtype: jnp.dtype) -> jnp.dtype:
    """Floating-point dtype for computation: float32 for half precision, otherwise the dtype itself.

    >>> at_least_single(jnp.bfloat16).name, at_least_single(jnp.float32).name
    ('float32', 'float32')
    """
    return jnp.dtype(jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype)


@transferring
def primary_loss(
    logits: jax.Array, labels: jax.Array, *, where: jax.Array | None = None, class_weights: jax.Array | None = None
) -> jax.Array:
    """Softmax cross-entropy of the micro-expression class, `-w_y log p_y`.

    Args:
      logits: `[n, N]`.
      labels: `[n]` class indices y.
      where: `[n]` bool, False marks padding.
      class_weights: `[N]` weights w, for example `balanced_weights`; None means 1.

    Returns:
      `[n]` losses in nats; 0 for padding.

    Raises:
      ValueError: shapes do not match, or a label is no class index; see `lightman_jax.checks` for traced labels.

    Reference: `optax.softmax_cross_entropy_with_integer_labels`. Choice: the abstract of arXiv 2404.12024 names no loss for the
    primary branch.

    >>> print(primary_loss(jnp.array([[0.0, 0.0]]), jnp.array([1])))
    [0.6931472]
    """
    logits, labels, where = _checked(logits, labels, where)
    if class_weights is not None:
        class_weights = as_floats(class_weights, "class_weights")
        if class_weights.shape != logits.shape[1:]:
            found = f"class_weights have the shape {class_weights.shape}"
            raise ValueError(f"{found}; give one weight for each of {logits.shape[1]} classes")
        check_number("class_weights", class_weights, least=0)
    values = optax.softmax_cross_entropy_with_integer_labels(keep_where(logits, where), labels)
    if class_weights is not None:
        values = values * class_weights[labels].astype(values.dtype)
    return keep_where(values, where)


@transferring
def balanced_weights(labels: jax.Array, classes: int, *, where: jax.Array | None = None) -> jax.Array:
    """Class weights that give every class the same total weight, `w_c = n / (number of classes present * n_c)`.

    Args:
      labels: `[n]` class indices.
      classes: N.
      where: `[n]` bool, False marks padding.

    Returns:
      `[N]` float32; 0 for classes without clips. The mean weight per clip is 1.

    >>> balanced_weights(jnp.array([0, 0, 0, 1]), 3).tolist()
    [0.6666666865348816, 2.0, 0.0]
    """
    where = as_mask(where, *np.shape(labels))
    labels = as_labels(labels, classes, where=where)
    counted = keep_where(jax.nn.one_hot(labels, classes, dtype=jnp.float32), where).sum(axis=0)
    present = counted > 0
    share = counted.sum() / jnp.maximum(present.sum(), 1).astype(jnp.float32)
    return jnp.where(present, share / jnp.maximum(counted, 1), 0)


@transferring
def focal_loss(
    logits: jax.Array, labels: jax.Array, *, gamma: float = 2.0, where: jax.Array | None = None
) -> jax.Array:
    """Multi-class focal loss, `-sum_a y_a (1 - p_a)^gamma log p_a`; equal to `primary_loss` for `gamma = 0`.

    Values and gradients are finite even where p reaches 1.

    Args:
      logits: `[n, N]`.
      labels: `[n]` class indices, or `[n, N]` soft labels y that sum to 1.
      gamma: focus on clips with small p, at least 0.
      where: `[n]` bool, False marks padding.

    Returns:
      `[n]` losses in nats; 0 for padding.

    Raises:
      ValueError: shapes do not match, a label is no class index, soft labels do not sum to 1, or a negative gamma.

    Reference: Lin et al. 2017, "Focal Loss for Dense Object Detection"; with soft labels and gamma 2 in Liu et al. 2019,
    "Self-Supervised Generalisation with Meta Auxiliary Learning".

    >>> print(focal_loss(jnp.array([[0.0, 0.0]]), jnp.array([1]), gamma=2.0))
    [0.1732868]
    """
    check_number("gamma", gamma, least=0)
    if np.ndim(labels) == 2:
        logits, labels = as_floats(logits, "logits"), as_floats(labels, "soft labels")
        if labels.shape != logits.shape:
            raise ValueError(
                f"soft labels {labels.shape} do not fit logits {logits.shape}; give one probability per logit"
            )
        where = as_mask(where, logits.shape[0])
        check_rows_sum_to_one(labels, "labels", where)
    else:
        logits, labels, where = _checked(logits, labels, where)
    log_p = jax.nn.log_softmax(keep_where(logits, where), axis=1)
    # log p is bounded below 0: at p = 1, the gradient of log(1 - p) would be infinite.
    tiny = jnp.asarray(jnp.finfo(logits.dtype).eps, logits.dtype)
    log_rest = jnp.log(-jnp.expm1(jnp.minimum(log_p, -tiny)))
    values = -jnp.exp(gamma * log_rest) * log_p
    if labels.ndim == 1:
        values = jnp.take_along_axis(values, labels[:, None], axis=1)[:, 0]
    else:
        # The inner where avoids 0 * inf for a soft label of 0 and an overflowing logit.
        soft = keep_where(labels, where)
        values = jnp.where(soft > 0, soft * jnp.where(soft > 0, values, 0), 0).sum(axis=1)
    return keep_where(values, where)


@transferring
def entropy_loss(probabilities: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Negative entropy of the class frequencies, `sum_a p_ia log q_a` with q the mean of p over the clips.

    The mean over the clips is `sum_a q_a log q_a`, with the minimum `-log A` where all classes are equally frequent. The loss
    prevents generated labels from collapsing into one class.

    Args:
      probabilities: `[n, A]` rows p that sum to 1; 0 and 1 are allowed.
      where: `[n]` bool, False marks padding.

    Returns:
      `[n]` losses in nats; 0 for padding.

    Raises:
      ValueError: shapes do not match, or a row does not sum to 1.

    Reference: the entropy term of Liu et al. 2019, "Self-Supervised Generalisation with Meta Auxiliary Learning", with its 1e-20
    inside the logarithm.

    >>> print(entropy_loss(jnp.array([[1.0, 0.0], [0.0, 1.0]])))
    [-0.6931472 -0.6931472]
    """
    probabilities = as_floats(probabilities, "probabilities")
    if probabilities.ndim != 2:
        raise ValueError(f"probabilities have the shape {probabilities.shape}; give [n, A], one row per clip")
    where = as_mask(where, probabilities.shape[0])
    check_rows_sum_to_one(probabilities, "probabilities", where)
    p = keep_where(probabilities, where).astype(at_least_single(probabilities.dtype))
    count = p.shape[0] if where is None else jnp.maximum(where.sum(), 1).astype(p.dtype)
    mean = p.sum(axis=0) / count
    return (p @ jnp.log(mean + 1e-20)).astype(probabilities.dtype)


def _checked(
    logits: jax.Array, labels: jax.Array, where: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Logits `[n, N]`, class indices `[n]` and mask `[n]`."""
    logits, shape = as_floats(logits, "logits"), np.shape(labels)
    if logits.ndim != 2 or shape != logits.shape[:1]:
        raise ValueError(
            f"logits {logits.shape} and labels {shape} do not fit; give [n, N] logits and [n] class indices"
        )
    where = as_mask(where, logits.shape[0])
    return logits, jnp.asarray(as_labels(labels, logits.shape[1], where=where)), where
