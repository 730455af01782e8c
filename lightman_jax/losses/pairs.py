"""Pairs of micro and macro clips of one class: masks, and means over masked pairs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lightman_jax.checks import as_labels, as_mask, transferring
from lightman_jax.losses.classification import at_least_single, keep_where


@transferring
def alignment_where(
    labels: jax.Array,
    macro_labels: jax.Array,
    *,
    where: jax.Array | None = None,
    macro_where: jax.Array | None = None,
) -> jax.Array:
    """Mask of the micro clips that have a macro clip of their class; average alignment losses over these.

    Args:
      labels: `[n]` class indices of the micro clips.
      macro_labels: `[M]` class indices of the macro clips.
      where: `[n]` bool, False marks padding.
      macro_where: `[M]` bool, False marks padding.

    Returns:
      `[n]` bool.

    Raises:
      ValueError: labels that are no class indices, or masks of another length.

    >>> alignment_where(jnp.array([0, 1]), jnp.array([1, 1])).tolist()
    [False, True]
    """
    labels, macro_labels, where, macro_where = _checked_pair(labels, macro_labels, where, macro_where)
    return same_class(labels, macro_labels, where, macro_where).any(axis=1)


class Pairs(NamedTuple):
    """Masked embeddings in at least float32, and masks.

    Attributes:
      micro: `[n, ...]`, zeros where padded.
      macro: `[M, ...]`, zeros where padded.
      positives: `[n, M]` bool, True for pairs of the same class without padding.
      micro_labels: `[n]` class indices.
      micro_where: `[n]` bool, False marks padding; None without padding.
      macro_labels: `[M]` class indices.
      macro_where: `[M]` bool, False marks padding.
      dtype: of the result.
    """

    micro: jax.Array
    macro: jax.Array
    positives: jax.Array
    micro_labels: jax.Array
    micro_where: jax.Array | None
    macro_labels: jax.Array
    macro_where: jax.Array
    dtype: jnp.dtype

    def mean(self, values: jax.Array) -> jax.Array:
        """Mean of `[n, M]` values over the positives of each micro clip, `[n]`."""
        return masked_mean(values, self.positives)

    def result(self, values: jax.Array) -> jax.Array:
        """`[n]` values, 0 for micro clips without positives, in the dtype of the arguments."""
        return jnp.where(self.positives.any(axis=1), values, jnp.zeros_like(values)).astype(self.dtype)


def make_pairs(
    micro: jax.Array,
    micro_labels: jax.Array,
    macro: jax.Array,
    macro_labels: jax.Array,
    where: jax.Array | None,
    macro_where: jax.Array | None,
) -> Pairs:
    """Mask the embeddings and pair the clips of the same class; without macro clips, one padded macro clip is added."""
    micro_labels, macro_labels, where, macro_where = _checked_pair(micro_labels, macro_labels, where, macro_where)
    if not len(macro):
        macro, macro_labels = jnp.zeros((1, *macro.shape[1:]), macro.dtype), jnp.zeros(1, macro_labels.dtype)
        macro_where = jnp.zeros(1, bool)
    result_dtype = jnp.result_type(micro.dtype, macro.dtype)
    dtype = at_least_single(result_dtype)
    return Pairs(
        micro=keep_where(micro, where).astype(dtype),
        macro=keep_where(macro, macro_where).astype(dtype),
        positives=same_class(micro_labels, macro_labels, where, macro_where),
        micro_labels=micro_labels,
        micro_where=where,
        macro_labels=macro_labels,
        macro_where=jnp.ones(macro_labels.shape, bool) if macro_where is None else macro_where,
        dtype=result_dtype,
    )


def _checked_pair(
    labels: jax.Array, macro_labels: jax.Array, where: jax.Array | None, macro_where: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None]:
    """Labels `[n]` and `[M]` as class indices, and masks of their lengths; raises `ValueError` for others."""
    found, masks = [], []
    for name, values, mask in (("labels", labels, where), ("macro_labels", macro_labels, macro_where)):
        if np.ndim(values) != 1:
            raise ValueError(f"{name} have the shape {np.shape(values)}; give one class index per clip")
        masks.append(as_mask(mask, np.shape(values)[0], name=name.replace("labels", "where")))
        found.append(jnp.asarray(as_labels(values, where=masks[-1], name=name), jnp.int32))
    return found[0], found[1], masks[0], masks[1]


def same_class(
    labels: jax.Array, other_labels: jax.Array, where: jax.Array | None, other_where: jax.Array | None
) -> jax.Array:
    """`[n, m]` bool: pairs of clips of the same class, without padding."""
    same = labels[:, None] == other_labels[None, :]
    if where is not None:
        same = same & where[:, None]
    if other_where is not None:
        same = same & other_where[None, :]
    return same


def masked_mean(values: jax.Array, mask: jax.Array, axis: int | tuple[int, ...] = 1) -> jax.Array:
    """Mean over `axis` of the values under the mask; 0 where no value is under the mask."""
    kept = jnp.where(mask, values, jnp.zeros_like(values)).sum(axis=axis)
    return kept / jnp.maximum(mask.sum(axis=axis), 1).astype(values.dtype)


def squared_distances(a: jax.Array, b: jax.Array) -> jax.Array:
    """`[n, m]` squared Euclidean distances between the rows of `a` `[n, E]` and `b` `[m, E]`."""
    return jnp.square(a[:, None, :] - b[None, :, :]).sum(axis=-1)
