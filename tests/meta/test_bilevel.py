"""The bi-level update against closed forms, with losses that are independent of faces."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from lightman_jax.meta.bilevel import displacement_loss, make_update, meta_gradient, outer_objective
from lightman_jax.meta.inner_loop import BilevelConfig, LearnedLRParams, adapt, learn_inner_lr
from lightman_jax.types import TrainState


def quadratic(rng, size=4, tasks=3):
    """Inner loss 1/2 p'Ap - a'p and outer loss 1/2 p'Bp - b'p, whose gradients are matrix products."""

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
    config = BilevelConfig(inner_steps=steps, inner_lr=alpha, first_order=first_order, task_mapping=mapping)
    gradient, metrics = meta_gradient(jnp.asarray(theta), tasks, inner_loss=inner, outer_loss=outer, config=config)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    assert "outer/name" in metrics
    assert ("inner/loss" in metrics) == (steps > 0)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 5])
def test_tasks_split_over_devices_give_the_gradient_of_one_device(x64, count):
    rng = np.random.default_rng(3)
    _, tasks, inner, outer = quadratic(rng, tasks=count)
    theta, weights = jnp.asarray(rng.normal(size=4)), jnp.asarray(rng.uniform(0.5, 2, size=count))
    mesh = jax.make_mesh((2,), ("tasks",), axis_types=(jax.sharding.AxisType.Auto,))
    settings = {"inner_loss": inner, "outer_loss": outer, "config": BilevelConfig(2, 0.1), "task_weights": weights}
    alone, metrics = jax.jit(lambda p, t: meta_gradient(p, t, **settings))(theta, tasks)
    split, split_metrics = jax.jit(lambda p, t: meta_gradient(p, t, **settings, mesh=mesh))(theta, tasks)
    np.testing.assert_allclose(split, alone, atol=1e-12)
    chex.assert_trees_all_close(split_metrics, metrics, atol=1e-12)


@pytest.mark.slow
def test_derivative_of_one_step_is_identity_minus_alpha_hessian(x64):
    rng = np.random.default_rng(1)
    theta, target = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=3))

    def inner(p, t):
        return jnp.sum(jnp.cos(p) * t) + jnp.prod(p), {}

    def outer(p, t):
        return jnp.sum(jnp.square(p - t) * p), {}

    config = BilevelConfig(inner_steps=1, inner_lr=0.2)
    value = lambda p: outer_objective(p, target, inner_loss=inner, outer_loss=outer, config=config)[0]  # noqa: E731

    @jax.jit
    def by_hand(theta):
        hessian = jax.hessian(lambda p: inner(p, target)[0])(theta)
        phi, _ = adapt(theta, target, inner_loss=inner, config=config)
        return (jnp.eye(3) - 0.2 * hessian) @ jax.grad(lambda p: outer(p, target)[0])(phi)

    np.testing.assert_allclose(jax.jit(jax.grad(value))(theta), by_hand(theta), atol=1e-12)


def test_inner_lr_zero_is_plain_training_and_initial_loss_is_added(x64):
    _, tasks, inner, outer = quadratic(np.random.default_rng(2))
    theta, losses = jnp.arange(4.0), {"inner_loss": inner, "outer_loss": outer}
    still, _ = meta_gradient(theta, tasks, **losses, config=BilevelConfig(inner_steps=5, inner_lr=0.0))
    plain, _ = meta_gradient(theta, tasks, **losses, config=BilevelConfig(inner_steps=0))
    np.testing.assert_allclose(still, plain, atol=1e-12)
    with_initial, _ = meta_gradient(theta, tasks, **losses, initial_loss=outer, config=BilevelConfig(inner_steps=0))
    np.testing.assert_allclose(with_initial, 2 * plain, atol=1e-12)


def test_order_of_tasks_and_jit_change_nothing(x64):
    _, tasks, inner, outer = quadratic(np.random.default_rng(3))
    theta = jnp.arange(4.0)
    run = lambda t: meta_gradient(theta, t, inner_loss=inner, outer_loss=outer, config=BilevelConfig())[0]  # noqa: E731
    np.testing.assert_allclose(run(tasks), run(jax.tree.map(lambda x: x[::-1], tasks)), atol=1e-12)
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


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("each", ["scalar", "leaf", "entry"])
def test_gradient_of_learned_inner_lr_equals_the_closed_form(x64, each, first_order):
    """For K = 1, d J / d alpha = - g_inner(theta) * g_outer(phi), summed over the entries that share alpha."""
    parts, tasks, inner, outer = quadratic(np.random.default_rng(5), tasks=1)
    A, B, a, b = (parts[name][0] for name in "ABab")
    theta, alpha = np.arange(4.0), 0.1
    tree = lambda loss: lambda p, t: loss(jnp.concatenate([p["x"], p["y"]]), t)  # noqa: E731
    params = learn_inner_lr({"x": jnp.asarray(theta[:1]), "y": jnp.asarray(theta[1:])}, alpha, each=each)
    config = BilevelConfig(inner_lr=9.0, first_order=first_order)
    gradient, _ = meta_gradient(params, tasks, inner_loss=tree(inner), outer_loss=tree(outer), config=config)
    g_inner = A @ theta - a
    g_outer = B @ (theta - alpha * g_inner) - b
    through = np.eye(4) if first_order else np.eye(4) - alpha * A
    expected_theta, expected_lr = through @ g_outer, -g_inner * g_outer
    np.testing.assert_allclose(jnp.concatenate(list(gradient.params.values())), expected_theta, atol=1e-10)
    if each == "scalar":
        np.testing.assert_allclose(gradient.inner_lr, expected_lr.sum(), atol=1e-10)
    else:
        groups = (expected_lr[:1], expected_lr[1:])
        for got, group in zip((gradient.inner_lr["x"], gradient.inner_lr["y"]), groups, strict=True):
            np.testing.assert_allclose(got, group if each == "entry" else group.sum(), atol=1e-10)


def test_only_the_adapted_part_changes_and_the_gradient_is_exact(x64):
    parts, tasks, inner, outer = quadratic(np.random.default_rng(6), tasks=1)
    A, B, a, b = (parts[name][0] for name in "ABab")
    theta, alpha = np.arange(4.0), 0.1
    tree = lambda loss: lambda p, t: loss(jnp.concatenate([p["body"]["x"], p["head"]]), t)  # noqa: E731
    params = {"body": {"x": jnp.asarray(theta[:2])}, "head": jnp.asarray(theta[2:])}
    adapted, config = {"body": False, "head": True}, BilevelConfig(inner_steps=2, inner_lr=alpha)
    one = jax.tree.map(lambda x: x[0], tasks)
    phi, _ = adapt(params, one, inner_loss=tree(inner), config=config, adapted=adapted)
    np.testing.assert_array_equal(phi["body"]["x"], theta[:2])
    masked = np.eye(4) - alpha * np.diag([0, 0, 1, 1]) @ A
    expected_phi = theta
    for _ in range(2):
        expected_phi = masked @ expected_phi + alpha * np.array([0, 0, 1, 1]) * a
    np.testing.assert_allclose(phi["head"], expected_phi[2:], atol=1e-12)
    gradient, _ = meta_gradient(
        params, tasks, inner_loss=tree(inner), outer_loss=tree(outer), config=config, adapted=adapted
    )
    expected = np.linalg.matrix_power(masked, 2).T @ (B @ expected_phi - b)
    np.testing.assert_allclose(jnp.concatenate([gradient["body"]["x"], gradient["head"]]), expected, atol=1e-10)


def wavy(p, t):
    """A loss with derivatives of every order."""
    return jnp.sum(jnp.cos(p["w"]) * t) + jnp.prod(p["w"]) * p["b"] + jnp.square(p["b"] - t[0]), {}


WAVY = {"w": jnp.array([0.3, -0.8, 1.1]), "b": jnp.array(0.5)}


def wavy_params():
    return jax.tree.map(lambda x: x.astype(jnp.float64), WAVY)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(0.1, momentum=0.9),
        optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1)),
        optax.adam(0.1, eps_root=1e-8),
        optax.rmsprop(0.1, eps=1e-3, eps_in_sqrt=True),
    ],
    ids=["momentum", "decay", "adam", "rmsprop"],
)
def test_gradient_through_any_inner_optimizer_equals_a_python_loop(x64, optimizer):
    tasks = jnp.asarray(np.random.default_rng(7).normal(size=(2, 3)))

    def by_hand(params):
        total = 0.0
        for t in tasks:
            phi, state = params, optimizer.init(params)
            for _ in range(3):
                updates, state = optimizer.update(jax.grad(lambda p, t=t: wavy(p, t)[0])(phi), state, phi)
                phi = optax.apply_updates(phi, updates)
            total += wavy(phi, t)[0] / len(tasks)
        return total

    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(jax.grad(by_hand))(wavy_params())
        settings = {"inner_loss": wavy, "outer_loss": wavy, "inner_optimizer": optimizer}
        for mapping in ("scan", "vmap"):
            config = BilevelConfig(inner_steps=3, task_mapping=mapping)
            gradient = jax.jit(lambda p, config=config: meta_gradient(p, tasks, config=config, **settings)[0])
            chex.assert_trees_all_close(gradient(wavy_params()), expected, atol=1e-10)


@pytest.mark.slow
def test_inner_optimizer_without_a_finite_derivative_at_zero_is_refused():
    call = lambda config, optimizer: adapt(  # noqa: E731
        WAVY, jnp.zeros(3), inner_loss=wavy, config=config, inner_optimizer=optimizer
    )
    with pytest.raises(ValueError, match=r"optax\.adam\(1e-2, eps_root=1e-8\)"):
        call(BilevelConfig(), optax.adam(1e-2))
    with pytest.raises(ValueError, match="eps_root"):
        jax.jit(lambda: call(BilevelConfig(), optax.adam(1e-2))[0])()
    call(BilevelConfig(first_order=True), optax.adam(1e-2))
    phi, _ = call(BilevelConfig(), optax.adam(1e-2, eps_root=1e-8))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(phi))


def test_clipping_by_the_global_norm_is_an_inner_step_and_what_is_no_transformation_is_refused():
    loss = lambda p, t: (0.5 * (jnp.sum((p["w"] - t) ** 2) + p["b"] ** 2), {})  # noqa: E731
    theta = {"w": jnp.array([0.0, 3.0]), "b": jnp.array(4.0)}
    call = lambda optimizer: adapt(  # noqa: E731
        theta, jnp.zeros(2), inner_loss=loss, config=BilevelConfig(), inner_optimizer=optimizer
    )
    phi, _ = call(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0)))
    np.testing.assert_allclose(phi["w"], [0.0, 3 - 0.6], atol=1e-6)
    np.testing.assert_allclose(phi["b"], 4 - 0.8, atol=1e-6)
    for optimizer, text in (
        (0.1, "not an optax transformation"),
        (optax.sgd, "not an optax"),
        (optax.lbfgs(), "alone"),
    ):
        with pytest.raises(ValueError, match=text):
            call(optimizer)


@pytest.mark.slow
def test_remat_vmap_scan_and_jit_agree(x64):
    tasks = jnp.asarray(np.random.default_rng(8).normal(size=(2, 3)))
    settings = {"inner_loss": wavy, "outer_loss": wavy, "initial_loss": wavy}

    @functools.partial(jax.jit, static_argnums=1)
    def gradient(tasks, config):
        return meta_gradient(wavy_params(), tasks, config=config, **settings)[0]

    plain = BilevelConfig(inner_steps=2, task_mapping="scan")
    expected = gradient(tasks, plain)
    for changes in ({"remat": True}, {"task_mapping": "vmap"}, {"remat": True, "task_mapping": "vmap"}):
        chex.assert_trees_all_close(gradient(tasks, dataclasses.replace(plain, **changes)), expected, atol=1e-10)
    with jax.disable_jit():
        chex.assert_trees_all_close(gradient(tasks, plain), expected, atol=1e-10)
    one_by_one = [gradient(t[None], plain) for t in tasks]
    mean = jax.tree.map(lambda *g: sum(g) / len(g), *one_by_one)
    chex.assert_trees_all_close(mean, expected, atol=1e-10)
    objective = jax.jit(lambda p: outer_objective(p, tasks[0], config=plain, **settings)[0])
    check_grads(objective, (wavy_params(),), order=2)


def test_steps_with_large_results_are_recomputed_and_no_others():
    def stores_steps(pixels, **changes):
        loss = lambda p, t: (jnp.sum(jnp.sin(p * t) ** 2), {})  # noqa: E731
        config = BilevelConfig(inner_steps=5, **changes)
        task = jax.ShapeDtypeStruct((1, pixels), jnp.float32)
        gradient = functools.partial(meta_gradient, inner_loss=loss, outer_loss=loss, config=config)
        return "remat" not in str(jax.make_jaxpr(gradient)(jnp.float32(1), task))

    assert stores_steps(10**6)
    assert not stores_steps(10**8)
    assert stores_steps(10**8, remat="off")
    assert stores_steps(10**8, first_order=True)
    assert not stores_steps(10, remat=True)


@pytest.mark.slow
@pytest.mark.parametrize("mapping", ["scan", "vmap"])
def test_task_weights_double_and_drop_tasks(x64, mapping):
    tasks = jnp.asarray(np.random.default_rng(9).normal(size=(3, 3)))
    config = BilevelConfig(task_mapping=mapping)

    @jax.jit
    def gradient(tasks, weights=None):
        return meta_gradient(
            wavy_params(), tasks, inner_loss=wavy, outer_loss=wavy, config=config, task_weights=weights
        )

    twice = gradient(jnp.concatenate([tasks, tasks[:1]]))
    chex.assert_trees_all_close(gradient(tasks, jnp.array([2.0, 1.0, 1.0])), twice, atol=1e-10)
    chex.assert_trees_all_close(gradient(tasks, jnp.array([2, 2, 2])), gradient(tasks), atol=1e-10)
    padded = jnp.concatenate([tasks, jnp.full((2, 3), jnp.nan)])
    chex.assert_trees_all_close(gradient(padded, jnp.array([1.0, 1, 1, 0, 0])), gradient(tasks), atol=1e-10)
    nothing, _ = gradient(tasks, jnp.zeros(3))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(nothing))


def test_gradient_of_reptile_is_the_displacement(x64):
    parts, tasks, inner, _ = quadratic(np.random.default_rng(10))
    theta, alpha, steps = np.arange(4.0), 0.1, 3
    reptile = displacement_loss(inner, BilevelConfig(inner_steps=steps, inner_lr=alpha))
    plain = BilevelConfig(inner_steps=0)
    gradient, _ = meta_gradient(jnp.asarray(theta), tasks, inner_loss=reptile, outer_loss=reptile, config=plain)
    expected = np.zeros(4)
    for A, a in zip(parts["A"], parts["a"], strict=True):
        phi = theta
        for _ in range(steps):
            phi = phi - alpha * (A @ phi - a)
        expected += (theta - phi) / len(parts["A"])
    np.testing.assert_allclose(gradient, expected, atol=1e-10)


def test_donated_state_gives_the_same_result_and_is_deleted():
    optimizer = optax.adam(1e-2)
    update = make_update(inner_loss=wavy, outer_loss=wavy, outer_optimizer=optimizer, config=BilevelConfig())
    tasks = jnp.ones((2, 3))

    def start():
        params = jax.tree.map(jnp.copy, learn_inner_lr(WAVY, 0.1, each="leaf"))
        return TrainState(params=params, opt_state=optimizer.init(params), step=jnp.int32(0))

    kept, _ = jax.jit(update)(start(), tasks)
    donated = start()
    result, _ = jax.jit(update, donate_argnums=0)(donated, tasks)
    chex.assert_trees_all_close(kept, result)
    assert isinstance(result.params, LearnedLRParams)
    assert donated.params.params["w"].is_deleted()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"inner_steps": -1}, "negative"),
        ({"inner_lr": -0.1}, "negative"),
        ({"task_mapping": "pmap"}, "auto, vmap, scan"),
        ({"remat": "yes"}, "auto, on, off"),
    ],
)
def test_invalid_settings_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        BilevelConfig(**settings)
    with pytest.raises(ValueError, match="scalar, leaf, entry"):
        learn_inner_lr(WAVY, 0.1, each="layer")
