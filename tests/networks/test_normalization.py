"""Convolution, normalisation and pooling compared with plain implementations, up to the third derivative."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.networks.convolution import conv1x1, conv3x3
from lightman_jax.networks.normalization import (
    batch_moments,
    batch_norm,
    clip_moments,
    group_norm,
    max_pool,
    mean_pool,
    patch_moments,
)


def moments_of(x, where=None):
    return batch_moments(clip_moments(x), x.shape[1] * x.shape[2], where)


def close(first, second, tolerance=1e-10):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        scale = max(float(np.abs(b).max()), 1e-6)
        np.testing.assert_allclose(np.asarray(a) / scale, np.asarray(b) / scale, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "shape", "outputs"),
    [
        ("closed", (2, 5, 6, 3), 8),
        ("closed", (2, 5, 6, 8), 8),
        ("tiled", (2, 7, 6, 32), 33),
        ("tiled", (1, 6, 9, 40), 32),
        ("tiled", (2, 21, 20, 32), 33),
    ],
)
def test_convolution_forms_have_the_same_derivatives_up_to_order_three(x64, form, shape, outputs):
    rng = np.random.default_rng(0)
    draw = lambda *sizes: jnp.asarray(rng.normal(size=sizes))  # noqa: E731
    x, kernel, weight = draw(*shape), 0.1 * draw(3, 3, shape[-1], outputs), draw(*shape[:3], outputs)
    directions = [(draw(*x.shape), draw(*kernel.shape)) for _ in range(2)]

    def derivatives(form):
        def value(pair):
            return jnp.sum(jnp.sin(conv3x3(*pair, form)) * weight)

        first = jax.grad(value)

        def along(gradient, direction):
            return jax.grad(lambda pair: sum(jnp.vdot(g, d) for g, d in zip(gradient(pair), direction, strict=True)))

        second = along(first, directions[0])
        return value((x, kernel)), first((x, kernel)), second((x, kernel)), along(second, directions[1])((x, kernel))

    compiled = jax.jit(derivatives, static_argnums=0)
    close(compiled(form), compiled("plain"))


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "stride"), [(3, 1), (8, 1), (8, 2), (32, 1)])
def test_bfloat16_rounds_the_factors_in_every_order_of_derivative(channels, stride):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, 10, 10, channels), (3, 3, channels, 32)))

    def derivatives(precision):
        def first(kernel):
            return jax.grad(lambda k: jnp.sum(jnp.tanh(0.1 * conv3x3(x, k, stride=stride, precision=precision))))(
                kernel
            )

        value = conv3x3(x, kernel, stride=stride, precision=precision)
        return value, first(kernel), jax.grad(lambda k: jnp.sum(jnp.square(first(k))))(kernel)

    for rounded, exact in zip(derivatives("bfloat16"), derivatives("float32"), strict=True):
        assert rounded.dtype == jnp.float32
        error = float(jnp.linalg.norm(rounded - exact) / jnp.linalg.norm(exact))
        assert 1e-4 < error < 0.03


def test_tiles_are_used_for_large_images_with_many_channels():
    def products(side, channels):
        x, kernel = jnp.ones((1, side, side, channels)), jnp.ones((3, 3, channels, channels))
        return str(jax.make_jaxpr(lambda x, k: conv3x3(x, k, "tiled"))(x, kernel)).count("dot_general")

    assert products(10, 32) == 16 + 1
    assert products(9, 32) == products(10, 16) == 0


@pytest.mark.parametrize("stride", [1, 2])
def test_patch_moments_equal_the_moments_of_the_convolution(x64, stride):
    rng = np.random.default_rng(6)
    x, kernel = jnp.asarray(rng.normal(size=(3, 7, 6, 2)) + 5), jnp.asarray(rng.normal(size=(3, 3, 2, 4)))
    direct = clip_moments(conv3x3(x, kernel, stride=stride))
    close(patch_moments(x, kernel, stride=stride), direct, 1e-12)
    close(direct.variance, np.asarray(conv3x3(x, kernel, stride=stride)).var(axis=(1, 2)), 1e-12)


@pytest.mark.parametrize("shape", [(2, 6, 8, 4), (1, 7, 5, 3), (2, 1, 4, 2)])
def test_pooling_before_scaling_equals_pooling_after_scaling(x64, shape):
    rng = np.random.default_rng(7)
    x = jnp.asarray(rng.normal(size=shape))
    scale = jnp.linspace(-1, 1.5, shape[-1])  # A negative scale selects the minimum.

    def loss(early, x):
        normalised = group_norm(x, scale, 0.3 * scale, 1, bias=scale)
        return jnp.sum(jnp.sin(max_pool(normalised if early else normalised.values)))

    for order in (jax.grad, lambda f: jax.grad(lambda x: jnp.sum(jnp.cos(jax.grad(f)(x))))):
        early, late = (jax.jit(order(lambda x, e=e: loss(e, x)))(x) for e in (True, False))
        close(early, late)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 4, 4, 3), (1, 7, 7, 2), (6, 32, 32, 64), (3, 5, 8, 1)])
def test_max_pool_equals_flax_in_value_gradient_and_under_jit(x64, shape):
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=shape))
    weight = jnp.asarray(rng.normal(size=(shape[0], shape[1] // 2, shape[2] // 2, shape[3])))

    def through(pool):
        def loss(x):
            normal = (x - x.mean((1, 2), keepdims=True)) * jax.lax.rsqrt(x.var((1, 2), keepdims=True) + 1e-5)
            return jnp.sum(jnp.square(pool(nn.relu(normal))) * weight)

        return loss

    expected = jax.grad(through(lambda x: nn.max_pool(x, (2, 2), (2, 2))))(x)
    close(jax.grad(through(max_pool))(x), expected)
    close(jax.jit(jax.grad(through(max_pool)))(x), expected)
    np.testing.assert_array_equal(max_pool(x), nn.max_pool(x, (2, 2), (2, 2)))


def test_the_first_of_equal_entries_receives_the_gradient():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0], [0, 0]])


def test_pooling_skips_axes_of_length_one():
    x = jnp.arange(6.0).reshape(1, 1, 6, 1)
    np.testing.assert_array_equal(max_pool(x)[0, 0, :, 0], [1, 3, 5])
    np.testing.assert_array_equal(mean_pool(x)[0, 0, :, 0], [0.5, 2.5, 4.5])
    one = jnp.ones((2, 1, 1, 3))
    np.testing.assert_array_equal(max_pool(one), one)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3, 4, 4, 4), (3, 8, 8, 4), (5, 4, 4, 4), (3, 4, 6, 3)])
def test_batch_norm_and_pooling_have_the_same_gradient_with_and_without_jit(x64, shape):
    """At these shapes, pooling by equality with the maximum was compiled to gradients with errors up to 93%."""
    rng = np.random.default_rng(5)
    x, scale = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=shape[-1]))

    def loss(x):
        y = nn.relu(max_pool(batch_norm(x, scale, scale, moments_of(x))))
        return jnp.sum(jnp.sin(y) * jnp.cos(jnp.arange(y.size)).reshape(y.shape))

    close(jax.jit(jax.grad(loss))(x), jax.grad(loss)(x))


def test_batch_norm_equals_flax_and_excludes_padding(x64):
    rng = np.random.default_rng(4)
    x = jnp.asarray(rng.normal(size=(3, 5, 4, 6)) * 2 + 1)
    scale, bias = jnp.asarray(rng.normal(size=6)), jnp.asarray(rng.normal(size=6))
    layer = nn.BatchNorm(use_running_average=False, epsilon=1e-5, param_dtype=jnp.float64)
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": jnp.zeros(6), "var": jnp.ones(6)}}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected, _ = layer.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(batch_norm(x, scale, bias, moments_of(x)).values, expected, atol=1e-12)
    padded = jnp.concatenate([x, jnp.full((2, 5, 4, 6), jnp.nan)])
    moments = moments_of(padded, jnp.arange(5) < 3)
    for a, b in zip(moments, moments_of(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    np.testing.assert_allclose(moments.variance, np.asarray(x).var(axis=(0, 1, 2)), atol=1e-12)


def test_strided_and_1x1_convolutions_equal_flax(x64):
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(size=(2, 7, 6, 8)))
    wide, narrow = jnp.asarray(rng.normal(size=(3, 3, 8, 4))), jnp.asarray(rng.normal(size=(8, 4)))
    layer = lambda size: nn.Conv(4, (size, size), 2, padding=size // 2, use_bias=False, param_dtype=jnp.float64)  # noqa: E731
    expected = layer(3).apply({"params": {"kernel": wide}}, x)
    for form in ("auto", "plain"):
        np.testing.assert_allclose(conv3x3(x, wide, form, stride=2), expected, atol=1e-12)
    np.testing.assert_allclose(
        conv1x1(x, narrow, stride=2), layer(1).apply({"params": {"kernel": narrow[None, None]}}, x), atol=1e-12
    )


def test_group_norm_equals_flax(x64):
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.normal(size=(3, 5, 4, 6)) * 2 + 1)
    scale, bias = jnp.asarray(rng.normal(size=6)), jnp.asarray(rng.normal(size=6))
    layer = nn.GroupNorm(num_groups=2, epsilon=1e-5, param_dtype=jnp.float64)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = layer.apply({"params": {"scale": scale, "bias": bias}}, x)
    np.testing.assert_allclose(group_norm(x, scale, bias, 2).values, expected, atol=1e-12)
    constant = group_norm(jnp.ones((1, 4, 4, 6)), scale, bias, 2).values
    assert np.isfinite(constant).all()


def test_unknown_convolution_form_is_an_error():
    with pytest.raises(ValueError, match="auto, tiled, closed, plain"):
        conv3x3(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), "fast")
