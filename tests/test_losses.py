"""Losses against formulas written out in NumPy, at their edges, and under transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from lightman_jax.losses import (
    ALIGNMENT_FORMS,
    alignment_loss,
    alignment_where,
    focal_loss,
    mean_where,
    primary_loss,
)


def unit(rng, n, length):
    values = rng.normal(size=(n, length))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def alignment_by_hand(u, yu, v, yv, form, temperature):
    """One clip and one pair at a time."""
    result = np.zeros(len(u))
    for i in range(len(u)):
        pairs = [m for m in range(len(v)) if yv[m] == yu[i]]
        for p in pairs:
            if form == "cosine":
                value = 1 - u[i] @ v[p]
            else:
                value = -np.log(
                    np.exp(u[i] @ v[p] / temperature) / sum(np.exp(u[i] @ v[m] / temperature) for m in range(len(v)))
                )
            result[i] += value / len(pairs)
    return result


@pytest.mark.parametrize("form", ALIGNMENT_FORMS)
def test_alignment_equals_the_formula_pair_by_pair(x64, form):
    rng = np.random.default_rng(0)
    u, v, yu, yv = unit(rng, 5, 4), unit(rng, 7, 4), np.array([0, 1, 2, 3, 0]), np.array([0, 0, 1, 1, 2, 2, 0])
    value = alignment_loss(jnp.asarray(u), jnp.asarray(yu), jnp.asarray(v), jnp.asarray(yv), form=form, temperature=0.3)
    np.testing.assert_allclose(value, alignment_by_hand(u, yu, v, yv, form, 0.3), atol=1e-12)
    assert value[3] == 0
    assert alignment_where(jnp.asarray(yu), jnp.asarray(yv)).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("form", ALIGNMENT_FORMS)
def test_padding_and_order_change_nothing(x64, form):
    rng = np.random.default_rng(1)
    u, v = jnp.asarray(unit(rng, 4, 3)), jnp.asarray(unit(rng, 5, 3))
    yu, yv = jnp.array([0, 1, 0, 1]), jnp.array([0, 1, 1, 0, 1])
    plain = alignment_loss(u, yu, v, yv, form=form)
    garbage = jnp.full((2, 3), 1e3)
    padded = alignment_loss(
        jnp.concatenate([u, garbage]),
        jnp.concatenate([yu, jnp.array([0, 1])]),
        jnp.concatenate([v, garbage]),
        jnp.concatenate([yv, jnp.array([0, 1])]),
        form=form,
        where=jnp.arange(6) < 4,
        macro_where=jnp.arange(7) < 5,
    )
    np.testing.assert_allclose(padded[:4], plain, atol=1e-12)
    np.testing.assert_array_equal(padded[4:], 0)
    order = jnp.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(alignment_loss(u, yu, v[order], yv[order], form=form), plain, atol=1e-12)


@pytest.mark.parametrize("form", ALIGNMENT_FORMS)
def test_no_positive_and_no_macro_clip_give_zero_and_finite_gradients(form):
    u, v = jnp.eye(3), jnp.eye(3)
    for labels, macro_where in ((jnp.array([5, 5, 5]), None), (jnp.array([0, 1, 2]), jnp.zeros(3, bool))):

        def total(u, v, labels=labels, macro_where=macro_where):
            return alignment_loss(u, labels, v, jnp.array([0, 1, 2]), form=form, macro_where=macro_where).sum()

        value, gradients = jax.value_and_grad(total, argnums=(0, 1))(u, v)
        assert value == 0
        assert all(np.all(np.asarray(g) == 0) for g in gradients)


def test_stop_macro_cuts_one_side_only():
    rng = np.random.default_rng(2)
    u, v = jnp.asarray(unit(rng, 3, 4), jnp.float32), jnp.asarray(unit(rng, 3, 4), jnp.float32)
    labels = jnp.arange(3)
    du, dv = jax.grad(lambda u, v: alignment_loss(u, labels, v, labels, stop_macro=True).sum(), argnums=(0, 1))(u, v)
    assert np.abs(du).max() > 0
    assert np.abs(dv).max() == 0


def test_focal_is_cross_entropy_at_gamma_zero_and_matches_its_formula(x64):
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
def test_certain_and_impossible_classes_stay_finite(dtype, loss):
    logits = jnp.array([[60.0, -60.0], [-60.0, 60.0], [0.0, 0.0]], dtype)
    labels = jnp.array([0, 0, 1])
    value, gradient = jax.value_and_grad(lambda x: loss(x, labels).astype(jnp.float32).sum())(logits)
    assert np.isfinite(float(value))
    assert np.isfinite(np.asarray(gradient, np.float32)).all()
    assert loss(logits, labels).dtype == dtype


def test_second_order_derivatives(x64):
    rng = np.random.default_rng(4)
    logits, u, v = (jnp.asarray(rng.normal(size=(4, 3))) for _ in range(3))
    labels, macro = jnp.array([0, 1, 2, 0]), jnp.array([0, 1, 2, 1])
    check_grads(lambda x: focal_loss(x, labels).sum(), (logits,), order=2, modes=["rev"])
    for form in ALIGNMENT_FORMS:

        def total(u, v, form=form):
            return alignment_loss(u, labels, v, macro, form=form, temperature=0.5).sum()

        check_grads(total, (u, v), order=2, modes=["rev"])


def test_means_and_transformations():
    values, where = jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])
    assert float(mean_where(values, jnp.zeros(3, bool))) == 0
    assert float(jax.jit(mean_where)(values, where)) == 2
    batch = jnp.stack([jnp.eye(3), 2 * jnp.eye(3)])
    labels = jnp.array([0, 1, 1])
    stacked = jnp.stack([primary_loss(x, labels) for x in batch])
    np.testing.assert_allclose(jax.vmap(lambda x: primary_loss(x, labels))(batch), stacked, rtol=1e-6)
    masked = primary_loss(batch[0], labels, where=where)
    assert masked[2] == 0


def test_unknown_form_names_the_known_ones():
    with pytest.raises(ValueError, match="choose one of contrastive, cosine"):
        alignment_loss(jnp.eye(2), jnp.arange(2), jnp.eye(2), jnp.arange(2), form="euclid")
