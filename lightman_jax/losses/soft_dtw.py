"""Soft dynamic time warping (soft-DTW)."""

import jax
import jax.numpy as jnp

_INFINITY = 1e8  # Finite, so that differences of two such values are not nan.


def soft_dtw(cost: jax.Array, *, gamma: float) -> jax.Array:
    """Soft-DTW distance `R[F,G]`, `R[i,j] = cost[i,j] + softmin_gamma(R[i-1,j], R[i,j-1], R[i-1,j-1])`.

    `softmin_gamma(x) = -gamma log sum exp(-x / gamma)`. As gamma goes to 0 the result approaches the minimum cost of a monotone
    path through the matrix. It is differentiable for gamma above 0. The matrix is computed one anti-diagonal at a time.

    Args:
      cost: `[F, G]` cost of matching frame i of one sequence with frame j of the other.
      gamma: smoothing, above 0.

    Returns:
      Scalar.

    Reference: Cuturi and Blondel 2017, "Soft-DTW: a Differentiable Loss Function for Time-Series".

    >>> round(float(soft_dtw(jnp.array([[0.0, 5.0], [5.0, 1.0]]), gamma=0.01)), 4)
    1.0
    """
    rows, columns = cost.shape
    row = jnp.arange(rows + 1)
    infinite = jnp.full(rows + 1, _INFINITY, cost.dtype)

    def diagonal(previous: tuple[jax.Array, jax.Array], k: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        older, newer = previous
        column = k - row
        inside = (row >= 1) & (column >= 1) & (column <= columns)
        predecessors = jnp.stack([jnp.roll(newer, 1), newer, jnp.roll(older, 1)])
        softmin = -gamma * jax.nn.logsumexp(-predecessors / gamma, axis=0)
        here = cost[jnp.maximum(row - 1, 0), jnp.clip(column - 1, 0, columns - 1)]
        return (newer, jnp.where(inside, here + softmin, infinite)), None

    start = (infinite.at[0].set(0), infinite)
    (_, last), _ = jax.lax.scan(diagonal, start, jnp.arange(2, rows + columns + 1))
    return last[rows]
