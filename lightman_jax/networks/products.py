"""Matrix products in a chosen precision, with derivatives that are such products again."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def rounded(a: jax.Array, b: jax.Array, precision: Precision) -> tuple[jax.Array, jax.Array]:
    """Both factors, in bfloat16 if that is the precision."""
    return (a, b) if precision == "float32" else (a.astype(jnp.bfloat16), b.astype(jnp.bfloat16))


def matmul(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    """`a @ b` with rounded factors; the sums and the result have the dtype of a."""
    if precision == "float32":
        # With preferred_element_type, even of the same dtype, XLA chooses a product that is a third slower for tall factors.
        return a @ b
    return jnp.matmul(*rounded(a, b, precision), preferred_element_type=a.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    """`a @ b` of matrices; derivatives of every order are products of the same kind."""
    return matmul(a, b, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _transposed_product(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    return matmul(a.T, b, precision)


# Explicit, because XLA compiles the derivative of a product with a transposed copy of the tall factor.
product.defvjp(
    lambda a, b, precision: (product(a, b, precision), (a, b)),
    lambda precision, saved, g: (matmul(g, saved[1].T, precision), _transposed_product(saved[0], g, precision)),
)
_transposed_product.defvjp(
    lambda a, b, precision: (_transposed_product(a, b, precision), (a, b)),
    lambda precision, saved, g: (matmul(saved[1], g.T, precision), product(saved[0], g, precision)),
)
