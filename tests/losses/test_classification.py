"""Classification losses: reference values in NumPy, edge cases and transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from lightman_jax.losses.classification import balanced_weights, entropy_loss, focal_loss, mean_where, primary_loss


def test_focal_loss_equals_its_formula_and_cross_entropy_at_gamma_zero(x64):
    rng = np.random.default_rng(3)
    logits, labels = jnp.asarray(rng.normal(size=(20, 3)) * 3), jnp.asarray(rng.integers(0, 3, 20))
    np.testing.assert_allclose(focal_loss(logits, labels, gamma=0.0), primary_loss(logits, labels), atol=1e-12)
    p = np.asarray(jax.nn.softmax(logits))[np.arange(20), labels]
    np.testing.assert_allclose(focal_loss(logits, labels, gamma=1.5), -((1 - p) ** 1.5) * np.log(p), atol=1e-12)
    values = primary_loss(logits, labels, class_weights=jnp.array([1.0, 2.0, 3.0]))
    expected = np.asarray(optax.softmax_cross_entropy_with_integer_labels(logits, labels)) * np.asarray(labels + 1)
    np.testing.assert_allclose(values, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("loss", [primary_loss, focal_loss])
def test_probabilities_of_0_and_1_give_finite_losses_and_gradients(dtype, loss):
    logits = jnp.array([[60.0, -60.0], [-60.0, 60.0], [0.0, 0.0]], dtype)
    labels = jnp.array([0, 0, 1])
    value, gradient = jax.value_and_grad(lambda x: loss(x, labels).astype(jnp.float32).sum())(logits)
    assert np.isfinite(float(value))
    assert np.isfinite(np.asarray(gradient, np.float32)).all()
    assert loss(logits, labels).dtype == dtype


@pytest.mark.slow
def test_second_order_derivatives(x64):
    rng = np.random.default_rng(4)
    logits, soft = jnp.asarray(rng.normal(size=(4, 3))), jax.nn.softmax(jnp.asarray(rng.normal(size=(4, 3))))
    labels = jnp.array([0, 1, 2, 0])
    check_grads(lambda x: focal_loss(x, labels).sum(), (logits,), order=2, modes=["rev"])
    check_grads(lambda x, y: focal_loss(x, y).sum(), (logits, soft), order=2, modes=["rev"])
    check_grads(lambda x: entropy_loss(jax.nn.softmax(x)).sum(), (logits,), order=2, modes=["rev"])
    check_grads(lambda x: primary_loss(x, labels).sum(), (logits,), order=2, modes=["rev"])


def test_focal_loss_with_soft_labels_equals_its_formula(x64):
    rng = np.random.default_rng(6)
    logits, soft = rng.normal(size=(5, 4)) * 2, rng.dirichlet(np.ones(4), 5)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -(soft * (1 - p) ** 2 * np.log(p)).sum(axis=1)
    np.testing.assert_allclose(focal_loss(jnp.asarray(logits), jnp.asarray(soft)), expected, atol=1e-12)
    hard = jnp.array([0, 1, 2, 3, 0])
    one_hot = jax.nn.one_hot(hard, 4, dtype=jnp.float64)
    np.testing.assert_allclose(focal_loss(jnp.asarray(logits), one_hot), focal_loss(jnp.asarray(logits), hard))


def test_entropy_loss_uses_the_class_frequencies_of_all_clips(x64):
    rng = np.random.default_rng(7)
    p = rng.dirichlet(np.ones(5), 6)
    mean = p.mean(axis=0)
    values = entropy_loss(jnp.asarray(p))
    np.testing.assert_allclose(values.mean(), (mean * np.log(mean)).sum(), atol=1e-12)
    padded = jnp.concatenate([jnp.asarray(p), jnp.full((2, 5), jnp.nan)])
    where = jnp.arange(8) < 6
    np.testing.assert_allclose(entropy_loss(padded, where=where)[:6], values, atol=1e-12)
    assert not np.any(entropy_loss(padded, where=where)[6:])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_entropy_of_one_hot_labels_is_finite_in_every_precision(dtype):
    corners = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype)
    value, gradient = jax.value_and_grad(lambda p: entropy_loss(p).astype(jnp.float32).sum())(corners)
    assert float(value) == 0
    assert np.isfinite(np.asarray(gradient, np.float32)).all()
    assert entropy_loss(corners).dtype == dtype
    assert not np.any(entropy_loss(corners, where=jnp.zeros(2, bool)))


def test_balanced_weights_give_every_class_the_same_total():
    labels, where = jnp.array([0, 0, 0, 1, 1, 2]), jnp.arange(6) < 5
    weights = balanced_weights(labels, 4, where=where)
    np.testing.assert_allclose(weights, [5 / 6, 5 / 4, 0, 0], rtol=1e-6)
    totals = [float(jnp.sum(jnp.where(where & (labels == k), weights[k], 0))) for k in (0, 1)]
    assert totals[0] == pytest.approx(totals[1])
    assert not np.any(balanced_weights(labels, 4, where=jnp.zeros(6, bool)))


@pytest.mark.parametrize("loss", [primary_loss, focal_loss])
def test_non_finite_padding_affects_neither_value_nor_gradient(loss):
    logits = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]])
    where = jnp.array([True, False])
    value, gradient = jax.value_and_grad(lambda x: loss(x, jnp.array([0, 1]), where=where).sum())(logits)
    assert float(value) == pytest.approx(float(loss(logits[:1], jnp.array([0])).sum()))
    assert not np.any(gradient[1])
    assert np.isfinite(gradient).all()


def test_masked_means_jit_and_vmap():
    values, where = jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])
    assert float(mean_where(values, jnp.zeros(3, bool))) == 0
    assert float(jax.jit(mean_where)(values, where)) == 2
    batch = jnp.stack([jnp.eye(3), 2 * jnp.eye(3)])
    labels = jnp.array([0, 1, 1])
    stacked = jnp.stack([primary_loss(x, labels) for x in batch])
    np.testing.assert_allclose(jax.vmap(lambda x: primary_loss(x, labels))(batch), stacked, rtol=1e-6)
    masked = primary_loss(batch[0], labels, where=where)
    assert masked[2] == 0
