"""Layers against their plain forms, in every order of derivative, with and without jit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.branches import NetworkConfig, apply_branches, init_params
from lightman_jax.networks import Conv4, conv3x3, group_norm, max_pool


def close(first, second, tolerance=1e-10):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        scale = max(float(np.abs(b).max()), 1e-6)
        np.testing.assert_allclose(np.asarray(a) / scale, np.asarray(b) / scale, atol=tolerance)


@pytest.mark.parametrize("channels", [3, 8])
def test_closed_convolution_has_the_derivatives_of_the_plain_one_up_to_order_three(x64, channels):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=(2, 5, 6, channels))), jnp.asarray(rng.normal(size=(3, 3, channels, 8)))
    weight = jnp.asarray(rng.normal(size=(2, 5, 6, 8)))
    directions = [(jnp.asarray(rng.normal(size=x.shape)), jnp.asarray(rng.normal(size=kernel.shape))) for _ in range(2)]

    def derivatives(form):
        def value(pair):
            return jnp.sum(jnp.sin(conv3x3(*pair, form)) * weight)

        first = jax.grad(value)

        def along(gradient, direction):
            return jax.grad(lambda pair: sum(jnp.vdot(g, d) for g, d in zip(gradient(pair), direction, strict=True)))

        second = along(first, directions[0])
        return value((x, kernel)), first((x, kernel)), second((x, kernel)), along(second, directions[1])((x, kernel))

    close(jax.jit(derivatives, static_argnums=0)("closed"), derivatives("plain"))


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


def test_pooled_ties_share_the_gradient():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_allclose(gradient, 0.25)


def test_group_norm_equals_flax(x64):
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.normal(size=(3, 5, 4, 6)) * 2 + 1)
    scale, bias = jnp.asarray(rng.normal(size=6)), jnp.asarray(rng.normal(size=6))
    layer = nn.GroupNorm(num_groups=2, epsilon=1e-5, param_dtype=jnp.float64)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = layer.apply({"params": {"scale": scale, "bias": bias}}, x)
    np.testing.assert_allclose(group_norm(x, scale, bias, 2), expected, atol=1e-12)
    constant = group_norm(jnp.ones((1, 4, 4, 6)), scale, bias, 2)
    assert np.isfinite(constant).all()


def test_conv4_size_and_forms():
    images = jax.random.normal(jax.random.key(0), (2, 28, 28, 3))
    params = Conv4(width=16).init(jax.random.key(1), images)
    # 3x3 kernels, then bias, norm scale and norm bias of each block.
    assert sum(x.size for x in jax.tree.leaves(params)) == 9 * (3 * 16 + 3 * 16 * 16) + 4 * 3 * 16
    outputs = [Conv4(width=16, conv_form=form).apply(params, images) for form in ("auto", "closed", "plain")]
    for output in outputs:
        assert output.shape == (2, 16)
        np.testing.assert_allclose(output, outputs[0], atol=1e-5)


def test_branches_give_unit_embeddings_and_no_clip_sees_another():
    config = NetworkConfig(width=8, embedding=5)
    params = init_params(jax.random.key(0), config=config, image_shape=(20, 17, 3), classes=4)
    images = jax.random.normal(jax.random.key(1), (6, 20, 17, 3))
    outputs = jax.jit(lambda p, x: apply_branches(p, x, config=config))(params, images)
    assert outputs.logits.shape == (6, 4)
    np.testing.assert_allclose(jnp.linalg.norm(outputs.embedding, axis=1), 1, atol=1e-5)
    alone = apply_branches(params, images[2:3], config=config)
    np.testing.assert_allclose(outputs.logits[2:3], alone.logits, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: NetworkConfig(width=12), "groups of 8"),
        (lambda: NetworkConfig(backbone="resnet"), "choose one of conv4"),
        (lambda: NetworkConfig(conv_form="fast"), "auto, closed, plain"),
        (lambda: init_params(jax.random.key(0), config=NetworkConfig(), image_shape=(8, 8, 3), classes=3), "16x16"),
        (lambda: conv3x3(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), "fast"), "auto, closed, plain"),
    ],
)
def test_wrong_sizes_are_named(build, text):
    with pytest.raises(ValueError, match=text):
        build()
