"""The generic update against closed forms, on losses that have nothing to do with faces."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lightman_jax.bilevel import BilevelConfig, adapt, make_update, meta_gradient, outer_objective
from lightman_jax.types import TrainState


def quadratic(rng, size=4, tasks=3):
    """Inner 1/2 p'Ap - a'p and outer 1/2 p'Bp - b'p, for which every gradient is a matrix product."""

    def symmetric():
        root = rng.normal(size=(tasks, size, size))
        return root @ root.transpose(0, 2, 1) / size

    parts = {
        "A": symmetric(),
        "B": symmetric(),
        "a": rng.normal(size=(tasks, size)),
        "b": rng.normal(size=(tasks, size)),
    }
    tasks_tree = jax.tree.map(jnp.asarray, parts)

    def inner(p, t):
        return 0.5 * p @ t["A"] @ p - t["a"] @ p, {}

    def outer(p, t):
        return 0.5 * p @ t["B"] @ p - t["b"] @ p, {"name": p[0]}

    return parts, tasks_tree, inner, outer


@pytest.mark.parametrize("mapping", ["vmap", "scan"])
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_meta_gradient_equals_the_closed_form(x64, mapping, steps, first_order):
    rng = np.random.default_rng(0)
    parts, tasks, inner, outer = quadratic(rng)
    theta = rng.normal(size=4)
    alpha = 0.1
    expected = np.zeros(4)
    for A, B, a, b in zip(parts["A"], parts["B"], parts["a"], parts["b"], strict=True):
        shrink = np.eye(4) - alpha * A
        phi = theta
        for _ in range(steps):
            phi = shrink @ phi + alpha * a
        through = np.eye(4) if first_order else np.linalg.matrix_power(shrink, steps)
        expected += through.T @ (B @ phi - b) / len(parts["A"])
    config = BilevelConfig(inner_steps=steps, inner_rate=alpha, first_order=first_order, task_mapping=mapping)
    gradient, metrics = meta_gradient(jnp.asarray(theta), tasks, inner_loss=inner, outer_loss=outer, config=config)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    assert "outer/name" in metrics
    assert ("inner/loss" in metrics) == (steps > 0)


def test_one_step_is_identity_minus_alpha_hessian(x64):
    rng = np.random.default_rng(1)
    theta, target = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=3))

    def inner(p, t):
        return jnp.sum(jnp.cos(p) * t) + jnp.prod(p), {}

    def outer(p, t):
        return jnp.sum(jnp.square(p - t) * p), {}

    config = BilevelConfig(inner_steps=1, inner_rate=0.2)
    value = lambda p: outer_objective(p, target, inner_loss=inner, outer_loss=outer, config=config)[0]  # noqa: E731
    hessian = jax.hessian(lambda p: inner(p, target)[0])(theta)
    phi, _ = adapt(theta, target, inner_loss=inner, config=config)
    expected = (jnp.eye(3) - 0.2 * hessian) @ jax.grad(lambda p: outer(p, target)[0])(phi)
    np.testing.assert_allclose(jax.grad(value)(theta), expected, atol=1e-12)


def test_rate_zero_is_plain_training_and_initial_loss_is_added(x64):
    _, tasks, inner, outer = quadratic(np.random.default_rng(2))
    theta = jnp.arange(4.0)
    losses = {"inner_loss": inner, "outer_loss": outer}
    still, _ = meta_gradient(theta, tasks, **losses, config=BilevelConfig(inner_steps=5, inner_rate=0.0))
    plain, _ = meta_gradient(theta, tasks, **losses, config=BilevelConfig(inner_steps=0))
    np.testing.assert_allclose(still, plain, atol=1e-12)
    with_initial, _ = meta_gradient(theta, tasks, **losses, initial_loss=outer, config=BilevelConfig(inner_steps=0))
    np.testing.assert_allclose(with_initial, 2 * plain, atol=1e-12)


def test_order_of_tasks_and_jit_change_nothing(x64):
    _, tasks, inner, outer = quadratic(np.random.default_rng(3))
    theta = jnp.arange(4.0)
    run = lambda t: meta_gradient(theta, t, inner_loss=inner, outer_loss=outer, config=BilevelConfig())[0]  # noqa: E731
    turned = jax.tree.map(lambda x: x[::-1], tasks)
    np.testing.assert_allclose(run(tasks), run(turned), atol=1e-12)
    np.testing.assert_allclose(jax.jit(run)(tasks), run(tasks), atol=1e-12)


def test_update_takes_any_tree_any_optimizer_and_compiles_once():
    def loss(p, t):
        return jnp.sum(jnp.square(p["w"][0] * t + p["b"])), {}

    optimizer = optax.adam(1e-2)
    update = make_update(inner_loss=loss, outer_loss=loss, outer_optimizer=optimizer, config=BilevelConfig())
    params = {"w": (jnp.ones(2),), "b": jnp.zeros(2)}
    state = TrainState(params=params, opt_state=optimizer.init(params), step=jnp.int32(0))
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(update, n=1))
    losses = []
    for _ in range(20):
        state, metrics = step(state, jnp.ones((3, 2)))
        losses.append(float(metrics["loss"]))
    assert int(state.step) == 20
    assert losses[-1] < losses[0]
    assert float(metrics["gradient_norm"]) > 0


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"inner_steps": -1}, "negative"),
        ({"inner_rate": -0.1}, "negative"),
        ({"task_mapping": "pmap"}, "auto, vmap, scan"),
    ],
)
def test_wrong_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        BilevelConfig(**settings)
