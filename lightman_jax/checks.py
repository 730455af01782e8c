"""Checks of the arguments of public functions.

Shapes and dtypes are always checked. Values are checked where they are concrete: those of an argument that `jax.jit`, `jax.vmap` or
`jax.grad` traces are unknown, and pass. `jax.experimental.checkify` finds a label out of range in a traced call as well:

    checked = checkify.checkify(primary_loss, errors=checkify.index_checks)
    error, losses = jax.jit(checked)(logits, labels)
    error.throw()
"""

import functools
import math
import numbers
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

_LISTED = 5

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def transferring(fn: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function under `jax.transfer_guard("allow")`: its arguments and constants are meant to reach the device."""

    @functools.wraps(fn)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with jax.transfer_guard("allow"):
            return fn(*args, **kwargs)

    return call


def is_traced(value: Any) -> bool:
    """Whether a value is known only when a compiled program runs."""
    return isinstance(value, jax.core.Tracer)


def as_labels(labels: Any, classes: int | None = None, *, where: Any = None, name: str = "labels") -> Any:
    """Class indices, checked; whole numbers of a floating dtype become int32, all others are returned as they are.

    Args:
      labels: class indices of any shape.
      classes: N; None allows any index from 0.
      where: mask of the shape of the labels; labels of padding are not checked.
      name: of the argument, for messages.

    Raises:
      ValueError: labels that are not numbers, not whole, below 0 or not below N.

    >>> as_labels([0.0, 2.0], 3).tolist()
    [0, 2]
    """
    if is_traced(labels):
        if not jnp.issubdtype(labels.dtype, jnp.integer):
            raise ValueError(
                f"{name} have the dtype {labels.dtype}; give class indices, for example {name}.astype(int)"
            )
        return labels
    values = np.asarray(labels)
    whole = jnp.issubdtype(values.dtype, np.integer)
    if not whole and values.size and not jnp.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{name} have the dtype {values.dtype}; give class indices as whole numbers, 0, 1, 2, ...")
    # With an unknown mask, a label out of range may be padding.
    known = None if where is None else np.zeros(values.shape, bool) if is_traced(where) else np.asarray(where)
    judged = values if known is None else np.where(known, values, 0)
    end = 2**31 if classes is None else classes
    if judged.size and not (
        judged.min() >= 0 and judged.max() < end and (whole or bool((judged == np.floor(judged)).all()))
    ):
        wrong = judged[~((judged >= 0) & (judged < end) & (judged == np.floor(judged)))].astype(np.float64)
        found = ", ".join(f"{value:g}" for value in np.unique(wrong)[:_LISTED])
        span = "from 0" if classes is None else f"in 0..{classes - 1}, one per class"
        raise ValueError(f"{name} {found} are no class indices; give whole numbers {span}")
    return labels if whole and hasattr(labels, "dtype") else judged.astype(np.int32)


def as_mask(mask: Any, *shape: int, name: str = "where") -> Any:
    """A mask as array, of its shape; lists become NumPy arrays, and None remains None.

    Raises:
      ValueError: a mask that is not bool or has another shape.
    """
    if mask is None:
        return None
    found = mask if hasattr(mask, "dtype") else np.asarray(mask, None if np.size(mask) else bool)
    if found.dtype != bool or found.shape != shape:
        raise ValueError(
            f"{name} is {found.dtype}{list(found.shape)}; give bool{list(shape)}, one truth value per clip"
        )
    return found


def as_floats(values: Any, name: str) -> jax.Array:
    """Numbers as floating-point JAX array; whole numbers become float32.

    Raises:
      ValueError: values that are not real numbers.
    """
    values = values if hasattr(values, "dtype") else np.asarray(values)
    if jnp.issubdtype(values.dtype, np.integer):
        values = values.astype(np.float32)
    if not jnp.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{name} have the dtype {values.dtype}; give floating-point numbers")
    return values if isinstance(values, jax.Array) else jnp.asarray(values)


def as_images(images: Any) -> Any:
    """Floating-point images with channels, checked by rank and dtype; lists become NumPy arrays.

    Raises:
      ValueError: another number of axes, or values that are not floating-point numbers.
    """
    images = images if hasattr(images, "dtype") else np.asarray(images)
    if images.ndim not in (4, 5):
        raise ValueError(
            f"images have the shape {tuple(images.shape)}; give [n, H, W, C] or [n, frames, H, W, C], with an axis of channels "
            "even for one channel"
        )
    if not jnp.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"images have the dtype {images.dtype}; give floating-point flow, for example scale_flow(images.astype(np.float32))"
        )
    return images


def check_rows_sum_to_one(values: Any, name: str, where: Any = None) -> None:
    """Raise `ValueError` for concrete `[n, A]` rows that are no probabilities; rows of padding pass."""
    if is_traced(values) or is_traced(where):
        return
    rows = np.asarray(values).astype(np.float64)
    rows = rows if where is None else rows[np.asarray(where)]
    wrong = ~((rows >= -1e-3).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) < 1e-2))
    if wrong.any():
        raise ValueError(
            f"{name} has {int(wrong.sum())} rows that are no probabilities, for example {rows[wrong][0].round(4).tolist()}; give "
            "rows that sum to 1, as those of jax.nn.softmax do"
        )


def check_number(name: str, value: Any, *, above: float | None = None, least: float | None = None) -> None:
    """Raise `ValueError` for a concrete number that is not finite, not above `above` or less than `least`."""
    if is_traced(value):
        return
    number = np.asarray(value)
    good = number.dtype.kind in "iuf" and np.isfinite(number).all()
    if not good or (above is not None and not (number > above).all()) or (least is not None and (number < least).any()):
        allowed = f"a number above {above:g}" if above is not None else f"a number of {least:g} or more"
        raise ValueError(f"{name} {value} is refused; give {allowed}")


def check_type(name: str, value: Any, kind: type) -> None:
    """Raise `TypeError` for a value of another type."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}; give a {kind.__name__}, for example {kind.__name__}()")


def check_key(key: Any) -> None:
    """Raise `ValueError` for anything but a JAX random key."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or not (
        jnp.issubdtype(dtype, jax.dtypes.prng_key) or (dtype == jnp.uint32 and key.shape[-1:] != ())
    ):
        raise ValueError(f"key {key!r} is no JAX random key; give jax.random.key(0), with any seed for 0")


def is_count(value: Any, least: int = 1) -> bool:
    """Whether a setting is a whole number of at least `least`."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def is_number(value: Any) -> bool:
    """Whether a setting is a finite number of 0 or more."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf
