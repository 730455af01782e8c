"""MAXL-style label generator: published sizes, exact gradient against two other formulas, schedules and running moments."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lightman_jax.meta import label_generator
from lightman_jax.meta.label_generator import (
    GeneratorConfig,
    generate_labels,
    generated_logits,
    generated_losses,
    generator_objective,
    init_generated,
    init_generated_state,
    make_generator_update,
    masked_softmax,
    published_optimizers,
    running_moments,
)
from lightman_jax.meta.method_functions import make_method
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.networks.backbones import BACKBONES
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.networks.normalization import Moments
from lightman_jax.types import Clips, Task
from tests.reference import numpy_generated

pytestmark = pytest.mark.usefixtures("one_block")

NETWORK = NetworkConfig(backbone="conv4", width=4, normalisation="batch", conv_form="plain")
CONFIG = GeneratorConfig(psi=2, virtual_decay=5e-4)
VIRTUAL_LR = 0.05


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def dot(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_parameter_counts_equal_the_published_ones():
    network = NetworkConfig(backbone="vgg16", width=64, normalisation="batch")
    params = jax.eval_shape(
        lambda: init_generated(
            jax.random.key(0), network=network, config=GeneratorConfig(psi=5), image_shape=(32, 32, 3), classes=20
        )
    )
    assert count(params["network"]) == 15_310_008
    assert count(params["generator"]) == 15_037_092


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["conv4", "offapexnet"])
def test_initial_spread_and_kurtosis_of_every_tensor_are_the_published_ones(backbone):
    """The network is drawn by Xavier uniform (kurtosis 1.8), the generator by Xavier normal (kurtosis 3); biases are 0."""
    params = init_generated(
        jax.random.key(0),
        network=NetworkConfig(backbone=backbone, normalisation="batch", width=16),
        config=GeneratorConfig(psi=5),
        image_shape=(8, 8, 3),
        classes=20,
    )
    # The matrices of the 5x5 convolutions, as the convolutions that they are.
    shapes = {(25, 6): (5, 5, 1, 6), (150, 16): (5, 5, 6, 16)}
    for part, kurtosis in (("network", 1.8), ("generator", 3.0)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(params[part]):
            name, x = jax.tree_util.keystr(path), np.asarray(leaf, np.float64)
            if x.ndim == 1:
                np.testing.assert_array_equal(x, 1.0 if "norm_scale" in name else 0.0, err_msg=name)
                continue
            *field, inputs, outputs = shapes.get(x.shape, x.shape)
            bound = np.sqrt(6 / (np.prod(field) * (inputs + outputs)))
            noise = 5 / np.sqrt(x.size)
            assert x.std() == pytest.approx(bound / np.sqrt(3), rel=noise), name
            assert np.mean(x**4) / np.mean(x**2) ** 2 == pytest.approx(kurtosis, rel=2 * noise), name
            assert (np.abs(x).max() <= bound) == (part == "network"), name


@pytest.mark.slow
def test_first_step_with_the_published_optimizers_equals_the_published_code(x64):
    rng = np.random.default_rng(4)
    generator = GeneratorConfig(psi=2, entropy_in_gradient=False, published_optimizers=True)
    method = make_method(method_config("generated", MethodConfig(generator=generator)), NETWORK, optax.sgd(9.0))
    state = method.init(jax.random.key(1), (8, 8, 2), 3, jnp.float64)
    # Norms and biases off their initial one and zero, so that a weight decay of theirs shows.
    moved = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), state.params)
    state = state.replace(params=moved | {"statistics": state.params["statistics"]})

    def clips(label):
        image = jnp.asarray(rng.normal(size=(1, len(label), 8, 8, 2)))
        return Clips(image, jnp.asarray([label], jnp.int32), jnp.ones((1, len(label)), bool))

    tasks = Task(clips([0, 1, 2]), clips([0]), clips([0, 1, 2]))
    with jax.numpy_dtype_promotion("standard"):
        after, _ = jax.jit(method.update)(state, tasks)
    images = np.concatenate([tasks.support.image[0], tasks.query.image[0]])
    start = jax.tree.map(np.asarray, state.params)
    expected = numpy_generated.first_step(
        start["network"], start["generator"], images, np.array([0, 1, 2, 0, 1, 2]), psi=2
    )
    for part, tree in zip(("network", "generator"), expected, strict=True):
        for name, values in numpy_generated.flat(tree):
            leaf = functools.reduce(lambda place, key: place[key], name, after.params[part])
            np.testing.assert_allclose(leaf, values, rtol=0, atol=1e-12, err_msg=f"{part} {name}")


def test_generated_labels_are_within_the_block_of_the_class(x64):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 6)), np.array([0, 1, 2, 1, 0])
    mask = np.where(np.arange(6) // 2 == labels[:, None], 1.0, 1e-8)
    expected = np.exp(logits) * mask / (np.exp(logits) * mask).sum(axis=1, keepdims=True)
    result = masked_softmax(jnp.asarray(logits), jnp.asarray(labels), psi=2)
    np.testing.assert_allclose(result, expected, atol=1e-14)
    assert np.all(np.asarray(result)[mask < 1] > 0), "the published mask is 1e-8, not 0"


@pytest.fixture
def problem(x64):
    rng = np.random.default_rng(1)
    params = init_generated(
        jax.random.key(3), network=NETWORK, config=CONFIG, image_shape=(8, 8, 2), classes=3, dtype=jnp.float64
    )
    clips = Clips(
        jnp.asarray(rng.normal(size=(6, 8, 8, 2))), jnp.array([0, 1, 2, 0, 1, 2], jnp.int32), jnp.ones(6, bool)
    )
    return params["network"], params["generator"], clips


def exact_gradient(theta, generator, clips, config=CONFIG, network=NETWORK):
    objective = lambda g: generator_objective(  # noqa: E731
        g, theta, clips, network=network, config=config, virtual_lr=VIRTUAL_LR
    )[0]
    return jax.jit(jax.grad(objective))(generator)


def pieces(theta, clips):
    """The virtual step and the two gradients of the published product."""

    def fit_gradient(t, g):
        return jax.grad(lambda t: generated_losses(t, g, clips, network=NETWORK, config=CONFIG)[0])(t)

    def label_gradient(t, g):
        return jax.grad(lambda g: generated_losses(t, g, clips, network=NETWORK, config=CONFIG)[0])(g)

    def primary_gradient(g):
        step = jax.tree.map(lambda d, t: VIRTUAL_LR * (d + CONFIG.virtual_decay * t), fit_gradient(theta, g), theta)
        after = jax.tree.map(lambda t, s: t - s, theta, step)
        primary = lambda t: generated_losses(t, g, clips, network=NETWORK, config=CONFIG)[1]["primary_loss"]  # noqa: E731
        return jax.grad(primary)(after)

    return primary_gradient, label_gradient


@pytest.mark.slow
def test_exact_gradient_equals_the_forward_over_reverse_product(problem):
    theta, generator, clips = problem
    config = dataclasses.replace(CONFIG, entropy_in_gradient=False)
    primary_gradient, label_gradient = pieces(theta, clips)

    @jax.jit
    def product(g):
        v = primary_gradient(g)
        _, mixed = jax.jvp(lambda t: label_gradient(t, g), (theta,), (v,))
        return jax.tree.map(lambda m: -VIRTUAL_LR * m, mixed)

    expected = product(generator)
    for network in (NETWORK, dataclasses.replace(NETWORK, conv_form="closed")):
        exact = exact_gradient(theta, generator, clips, config, network)
        scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
        for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(np.asarray(a) / scale, np.asarray(b) / scale, atol=1e-10)


@pytest.mark.slow
def test_published_finite_difference_converges_to_the_exact_gradient(problem):
    """`(grad(theta + eps v) - grad(theta - eps v)) / 2 eps` with `eps = 0.01 / |v|`, as in the published code."""
    theta, generator, clips = problem
    primary_gradient, label_gradient = pieces(theta, clips)

    @jax.jit
    def product(g, shrink):
        v = primary_gradient(g)
        eps = shrink * 0.01 / jnp.sqrt(dot(v, v))
        moved = lambda sign: jax.tree.map(lambda t, d: t + sign * eps * d, theta, v)  # noqa: E731
        up, down = label_gradient(moved(1), g), label_gradient(moved(-1), g)
        return jax.tree.map(lambda a, b: -VIRTUAL_LR * (a - b) / (2 * eps), up, down)

    config = dataclasses.replace(CONFIG, entropy_in_gradient=False)
    exact = exact_gradient(theta, generator, clips, config)
    error = {}
    for shrink in (1.0, 1e-3):
        gap = jax.tree.map(jnp.subtract, product(generator, shrink), exact)
        error[shrink] = float(jnp.sqrt(dot(gap, gap) / dot(exact, exact)))
    assert error[1e-3] < 2e-3
    assert error[1e-3] < error[1.0] / 10


@pytest.mark.slow
def test_entropy_is_in_the_gradient_only_if_configured(problem):
    theta, generator, clips = problem
    without = exact_gradient(theta, generator, clips, dataclasses.replace(CONFIG, entropy_in_gradient=False))
    weightless = exact_gradient(theta, generator, clips, dataclasses.replace(CONFIG, entropy_weight=0.0))
    with_it = exact_gradient(theta, generator, clips)
    for a, b in zip(jax.tree.leaves(without), jax.tree.leaves(weightless), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)

    def entropy(g):
        p = generate_labels(g, clips.image, clips.label, network=NETWORK, psi=CONFIG.psi).mean(axis=0)
        return CONFIG.entropy_weight * jnp.sum(p * jnp.log(p))

    added = jax.grad(entropy)(generator)
    for a, b, c in zip(*map(jax.tree.leaves, (with_it, without, added)), strict=True):
        np.testing.assert_allclose(a - b, c, atol=1e-12)


@pytest.mark.slow
def test_update_trains_both_networks_and_keeps_running_moments():
    config = GeneratorConfig(psi=2)
    network = dataclasses.replace(NETWORK, conv_form="auto")
    params = init_generated(jax.random.key(0), network=network, config=config, image_shape=(8, 8, 2), classes=3)
    rng = np.random.default_rng(2)
    label = np.arange(12) % 3
    image = (rng.normal(size=(12, 8, 8, 2)) + label[:, None, None, None]).astype(np.float32)
    clips = Clips(jnp.asarray(image), jnp.asarray(label, jnp.int32), jnp.ones(12, bool))
    first, second, virtual_lr = optax.sgd(0.2), optax.sgd(0.2), lambda step: jnp.where(step < 30, 0.2, 0.1)
    update = jax.jit(
        make_generator_update(
            network=network, config=config, network_optimizer=first, generator_optimizer=second, virtual_lr=virtual_lr
        )
    )
    state = start = init_generated_state(params, first, second)
    losses = []
    for _ in range(60):
        state, metrics = update(state, clips)
        losses.append(float(metrics["inner/primary_loss"]))
    assert losses[-1] < 0.5 * losses[0]
    for part in ("network", "generator"):
        assert float(optax.tree.norm(optax.tree.sub(state.params[part], start.params[part]))) > 1e-3
    predicted = generated_logits(state.params, clips.image, network=network)
    assert (predicted.argmax(axis=1) == clips.label).mean() > 0.8
    alone = generated_logits(state.params, clips.image[:1], network=network)
    np.testing.assert_allclose(alone, predicted[:1], atol=1e-4)


def test_running_moments_are_unbiased_moving_averages():
    batch = {"1": Moments(jnp.array([2.0]), jnp.array([3.0]), jnp.array(4.0))}
    start = {"1": Moments(jnp.zeros(1), jnp.ones(1), jnp.array(4.0))}
    after = running_moments(start, batch, 0.9)["1"]
    assert float(after.mean[0]) == pytest.approx(0.2)
    assert float(after.variance[0]) == pytest.approx(0.9 + 0.1 * 3 * 4 / 3)


def test_published_schedule_halves_the_learning_rate_and_decays_every_parameter_of_the_generator():
    first, second, virtual_lr = published_optimizers(200)
    with jax.numpy_dtype_promotion("standard"):
        check_published(first, second, virtual_lr)


def check_published(first, second, virtual_lr):
    assert [float(virtual_lr(step)) for step in (0, 49, 51, 101, 151)] == pytest.approx(
        [0.01, 0.01, 0.005, 0.0025, 0.00125]
    )
    params = {"kernel": jnp.ones(2), "bias": jnp.ones(1)}
    for optimizer, rate, decay in ((first, 0.01, 0.0), (second, 0.001, 5e-4)):
        for gradient in (0.0, 1.0):
            gradients = jax.tree.map(lambda x, g=gradient: jnp.full_like(x, g), params)
            updates, _ = optimizer.update(gradients, optimizer.init(params), params)
            np.testing.assert_allclose(updates["bias"], -rate * (gradient + decay), rtol=1e-5)
            np.testing.assert_allclose(updates["kernel"], -rate * (gradient + decay), rtol=1e-5)


@pytest.mark.slow
def test_every_backbone_supports_the_label_generator():
    for name in BACKBONES:
        network = NetworkConfig(backbone=name, width=4)

        def logits(network=network):
            params = init_generated(jax.random.key(0), network=network, config=CONFIG, image_shape=(8, 8, 3), classes=3)
            return generated_logits(params, jnp.zeros((2, 8, 8, 3)), network=network)

        assert jax.eval_shape(logits).shape == (2, 3)


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"psi": 0}, "psi 0"), ({"entropy_weight": -1.0}, "0 or more"), ({"statistics_decay": 1.0}, r"\[0, 1\)")],
)
def test_invalid_settings_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        label_generator.GeneratorConfig(**settings)
