"""Backbones and the dual branch: parameter counts, image shapes, padding, stored moments and exact meta-gradients."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.meta.methods import MethodConfig
from lightman_jax.meta.objective import method_problem
from lightman_jax.networks.backbone import NORMALISATIONS
from lightman_jax.networks.backbones import BACKBONES, Conv4, ResNet12
from lightman_jax.networks.convolution import pools_windows
from lightman_jax.networks.dual_branch import (
    NetworkConfig,
    apply_branches,
    branch_statistics,
    dense,
    extract_features,
    init_params,
)
from lightman_jax.types import Clips, Task
from tests.inputs import random_params

# Without the last dense layer. ResNet-18, VGG and DenseNet-BC-40-12 agree with public CIFAR models.
PUBLISHED = {
    ("conv4", 64): 113_088,
    ("resnet12", 64): 7_996_800,
    ("resnet18", 64): 11_168_832,
    ("vgg16", 64): 14_723_136,
    ("vgg19", 64): 20_035_392,
    ("densenet", 12): 174_792,
}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("name", "width"), PUBLISHED)
def test_parameter_counts_at_published_widths(name, width):
    for normalisation in NORMALISATIONS:
        backbone = BACKBONES[name](width=width, normalisation=normalisation)
        variables = jax.eval_shape(lambda b=backbone: b.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
        assert count(variables["params"]) == PUBLISHED[name, width]


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_accept_any_height_width_and_channels(name):
    config = NetworkConfig(backbone=name, width=4, embedding=5)
    for shape in ((28, 28, 3), (17, 40, 1), (1, 1, 2), (3, 5, 4)):

        def outputs(shape=shape):
            params = init_params(jax.random.key(0), config=config, image_shape=shape, classes=7)
            return apply_branches(params, jnp.zeros((2, *shape)), config=config)

        result = jax.eval_shape(outputs)
        assert result.logits.shape == (2, 7)
        assert result.embedding.shape == (2, 5)
        assert result.frames.shape == (2, 1, 5)
        assert result.maps.shape[0] == 2
        assert result.maps.shape[-1] == 5


@pytest.mark.parametrize(
    ("name", "side", "features"),
    [("conv4", 84, 5 * 5 * 64), ("resnet12", 28, 8 * 64), ("resnet18", 32, 4 * 4 * 512), ("mlp", 28, 256)],
)
def test_flattened_features_are_all_positions_of_the_last_stage(name, side, features):
    config = NetworkConfig(backbone=name, width=64, head="flatten")
    shapes = jax.eval_shape(
        lambda key: init_params(key, config=config, image_shape=(side, side, 3), classes=3), jax.random.key(0)
    )
    assert shapes["primary"]["kernel"].shape == (features, 3)
    assert shapes["auxiliary"]["kernel"].shape == (features, config.embedding)


@pytest.mark.slow
def test_a_position_is_embedded_as_an_image_whose_other_positions_are_zero():
    config = NetworkConfig(backbone="conv4", width=4, embedding=3, head="flatten")
    params = init_params(jax.random.key(0), config=config, image_shape=(32, 48, 2), classes=3)
    images = jax.random.normal(jax.random.key(1), (2, 32, 48, 2))
    outputs = apply_branches(params, images, config=config)
    features, maps = extract_features(params, images, config=config)
    assert outputs.maps.shape == (2, 2, 3, 3)
    np.testing.assert_array_equal(features, maps.reshape(features.shape))
    alone = jnp.zeros_like(maps).at[:, :, 1, 2].set(maps[:, :, 1, 2]).reshape(2, -1)
    expected = dense(params["auxiliary"], alone)
    expected /= jnp.linalg.norm(expected, axis=-1, keepdims=True)
    np.testing.assert_allclose(outputs.maps[:, 1, 2], expected, atol=1e-6)
    with pytest.raises(ValueError, match="give 64 features with head flatten, the parameters are for 24"):
        apply_branches(params, jnp.zeros((1, 64, 64, 2)), config=config)


@pytest.mark.slow
def test_conv4_forms_agree():
    images = jax.random.normal(jax.random.key(0), (2, 28, 28, 3))
    params = Conv4(width=16).init(jax.random.key(1), images)
    outputs = [Conv4(width=16, conv_form=form).apply(params, images)[0] for form in ("tiled", "closed", "plain")]
    for output in outputs:
        assert output.shape == (2, 16)
        np.testing.assert_allclose(output, outputs[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["batch", "group", "affine"])
def test_pooling_without_stored_values_has_the_same_derivatives_up_to_order_three(normalisation, x64):
    settings = {"width": 8, "normalisation": normalisation}
    images = jax.random.normal(jax.random.key(0), (2, 48, 50, 3))
    params = Block(**settings).init(jax.random.key(1), images)
    # Scales of both signs: the maximum of a channel, or the minimum.
    params = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape), params)
    params["params"]["norm_scale_1"] *= jnp.tile(jnp.array([1.0, -1.0]), 4)
    directions = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape), (params, images))

    def derivatives(form):
        value = lambda both: jnp.sum(jnp.sin(Block(**settings, conv_form=form).apply(*both)))  # noqa: E731

        def along(f):
            def product(both):
                return sum(map(jnp.vdot, *(jax.tree.leaves(tree) for tree in (jax.grad(f)(both), directions))))

            return product

        functions = [value, along(value), along(along(value))]
        return [(f((params, images)), jax.grad(f)((params, images))) for f in functions]

    compiled = jax.jit(derivatives, static_argnums=0)
    for found, expected in zip(jax.tree.leaves(compiled("tiled")), jax.tree.leaves(compiled("plain")), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9 * float(np.abs(expected).max()))
    assert pools_windows(images, "tiled")
    assert not any(pools_windows(images[:, :height], "tiled") for height in (47, 28))


class Block(Conv4):
    @nn.compact
    def __call__(self, x):
        return self.conv_norm_pool("1", x, self.width, None)


def test_embeddings_have_unit_length_and_clips_are_independent():
    config = NetworkConfig(width=8, embedding=5)
    params = init_params(jax.random.key(0), config=config, image_shape=(20, 17, 3), classes=4)
    images = jax.random.normal(jax.random.key(1), (6, 20, 17, 3))
    outputs = jax.jit(lambda p, x: apply_branches(p, x, config=config))(params, images)
    for vectors in (outputs.embedding, outputs.maps, outputs.frames):
        np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=-1), 1, atol=1e-5)
    alone = apply_branches(params, images[2:3], config=config)
    np.testing.assert_allclose(outputs.logits[2:3], alone.logits, atol=1e-5)
    np.testing.assert_allclose(outputs.frames[:, 0], outputs.embedding, atol=1e-5)


@pytest.mark.slow
def test_sequences_are_processed_frame_by_frame():
    config = NetworkConfig(width=8, embedding=5)
    params = init_params(jax.random.key(0), config=config, image_shape=(4, 8, 8, 2), classes=3)
    clips = jax.random.normal(jax.random.key(1), (3, 4, 8, 8, 2))
    whole = apply_branches(params, clips, config=config)
    assert whole.frames.shape == (3, 4, 5)
    frames = apply_branches(params, clips[:, 1], config=config)
    np.testing.assert_allclose(whole.frames[:, 1], frames.embedding, atol=1e-5)
    reversed_ = apply_branches(params, clips[:, ::-1], config=config)
    np.testing.assert_allclose(reversed_.logits, whole.logits, atol=1e-5)
    np.testing.assert_allclose(reversed_.frames[:, ::-1], whole.frames, atol=1e-5)


@pytest.mark.slow
def test_stored_moments_make_batch_normalised_clips_independent():
    config = NetworkConfig(width=8, embedding=5, normalisation="batch")
    params = init_params(jax.random.key(0), config=config, image_shape=(8, 8, 2), classes=3)
    images = jax.random.normal(jax.random.key(1), (5, 8, 8, 2))
    where = jnp.arange(5) < 4
    outputs = apply_branches(params, images, config=config, where=where)
    changed = images.at[4].set(1e3)
    np.testing.assert_allclose(
        apply_branches(params, changed, config=config, where=where).logits[:4], outputs.logits[:4], atol=1e-5
    )
    assert np.abs(apply_branches(params, images[:1], config=config).logits - outputs.logits[:1]).max() > 1e-3
    stored = params | {"statistics": branch_statistics(params, images, config=config, where=where)}
    np.testing.assert_allclose(apply_branches(stored, images, config=config).logits[:4], outputs.logits[:4], atol=1e-5)
    np.testing.assert_allclose(apply_branches(stored, images[:1], config=config).logits, outputs.logits[:1], atol=1e-5)


@pytest.mark.slow
def test_second_order_meta_gradient_equals_forward_over_reverse(x64, monkeypatch):
    """Reverse-over-reverse with closed convolutions in a scan equals forward-over-reverse with plain convolutions."""
    monkeypatch.setattr(ResNet12, "blocks", 2)
    network = NetworkConfig(backbone="resnet12", width=4, embedding=3, normalisation="batch")
    # Alignment does not depend on the backbone; without it, the programs compile in half the time.
    config = MethodConfig(inner_alignment=0.0, outer_alignment=0.0)
    params, rng = random_params(network, (16, 16, 2)), np.random.default_rng(0)
    clips = lambda labels: Clips(  # noqa: E731
        jnp.asarray(rng.normal(size=(1, len(labels), 16, 16, 2))),
        jnp.asarray([labels], jnp.int32),
        jnp.ones((1, len(labels)), bool),
    )
    tasks = Task(support=clips([0, 1, 2, 0]), macro=clips([0, 1, 2]), query=clips([1, 2, 0, 1]))
    exact = jax.jit(lambda p: method_problem(config, network).gradient(p, tasks)[0])(params)

    plain = method_problem(config, dataclasses.replace(network, conv_form="plain"))
    task = jax.tree.map(lambda x: x[0], tasks)

    def objective(theta):
        step = jax.grad(lambda p: plain.inner_loss(p, task)[0])(theta)
        phi = jax.tree.map(lambda p, g: p - 0.05 * g, theta, step)
        return plain.outer_loss(phi, task)[0] + plain.initial_loss(theta, task)[0]

    direction = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), params)
    slope = jax.jit(lambda p, d: jax.jvp(objective, (p,), (d,))[1])(params, direction)
    along = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(exact), jax.tree.leaves(direction), strict=True))
    assert float(along) == pytest.approx(float(slope), rel=1e-10)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: NetworkConfig(width=10), "groups of 4 or 8"),
        (lambda: NetworkConfig(backbone="resnet"), "choose one of mlp, conv4"),
        (lambda: NetworkConfig(normalisation="instance"), "group, layer, batch"),
        (lambda: NetworkConfig(conv_form="fast"), "auto, tiled, closed, plain"),
        (lambda: init_params(jax.random.key(0), config=NetworkConfig(), image_shape=(8, 8), classes=3), "not"),
    ],
)
def test_errors_name_the_allowed_values(build, text):
    with pytest.raises(ValueError, match=text):
        build()
