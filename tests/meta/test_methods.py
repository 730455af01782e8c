"""Every method against its formula, and settings that reduce one method to another."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.cli.config import RunConfig, parse_config
from experiments.cli.flags import ConfigError
from experiments.evaluation.records import as_json, from_json
from lightman_jax.losses.classification import primary_loss
from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.method_functions import init_state, make_method
from lightman_jax.meta.methods import METHODS, MethodConfig, method_config
from lightman_jax.meta.objective import method_problem
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches, extract_features
from lightman_jax.types import Clips, Task, TrainState
from tests.inputs import random_params

pytestmark = pytest.mark.usefixtures("one_block")

NETWORK = NetworkConfig(backbone="conv4", normalisation="group", width=8, embedding=4)


def make_tasks(rng, count=2, n=4, side=16):
    def clips(labels):
        image = jnp.asarray(rng.normal(size=(count, n, side, side, 3)))
        return Clips(image, jnp.tile(jnp.array(labels, jnp.int32), (count, 1)), jnp.ones((count, n), bool))

    return Task(support=clips([0, 1, 2, 0]), macro=clips([0, 1, 2, 2]), query=clips([1, 2, 0, 0]))


@pytest.fixture
def setting(x64):
    return random_params(NETWORK, (16, 16, 3)), make_tasks(np.random.default_rng(0))


def gradient_of(params, tasks, config):
    return jax.jit(method_problem(config, NETWORK).gradient)(params, tasks)[0]


def close(first, second, tolerance=1e-10):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


SMALL = NetworkConfig(backbone="conv4", normalisation="group", width=4, embedding=3)
ALPHA, LAMBDA, MU, PRE, TEMPERATURE = 0.05, 0.7, 0.4, 0.6, 0.3


def by_hand(method, theta, task, inner_lr):
    """The objective of a method on one task, with plain convolutions and Python loops."""
    network = dataclasses.replace(SMALL, conv_form="plain")
    stop = jax.lax.stop_gradient
    outputs = lambda p, clips: apply_branches(p, clips.image, config=network)  # noqa: E731
    both = lambda a, b: jax.tree.map(lambda x, y: np.concatenate([x, y]), a, b)  # noqa: E731

    def primary(p, clips):
        log_p = jax.nn.log_softmax(outputs(p, clips).logits, axis=1)
        return -jnp.mean(jnp.stack([log_p[i, y] for i, y in enumerate(np.asarray(clips.label))]))

    def alignment(p, clips):
        u, v = outputs(p, clips).embedding, outputs(p, task.macro).embedding
        log_q, yv = jax.nn.log_softmax(u @ v.T / TEMPERATURE, axis=1), np.asarray(task.macro.label)
        return -jnp.mean(jnp.stack([log_q[i, yv == y].mean() for i, y in enumerate(np.asarray(clips.label))]))

    aligned = method.startswith("lightman")
    if method == "protonet":
        features = lambda clips: extract_features(theta, clips.image, config=network)[0][:, 0]  # noqa: E731
        labels = np.asarray(task.support.label)
        centres = jnp.stack([features(task.support)[labels == k].mean(axis=0) for k in range(3)])
        distance = jnp.square(features(task.query)[:, None] - centres[None]).sum(axis=-1)
        log_p = jax.nn.log_softmax(-distance, axis=1)
        return -jnp.mean(jnp.stack([log_p[i, y] for i, y in enumerate(np.asarray(task.query.label))]))

    def inner(p):
        clips = both(task.support, task.query) if method == "reptile" else task.support
        return primary(p, clips) + (LAMBDA * alignment(p, clips) if aligned else 0.0)

    phi = theta
    for _ in range({"joint": 0, "reptile": 2}.get(method, 1)):
        step = jax.grad(inner)(phi)
        step = stop(step) if method in ("fomaml", "lightman_fo") else step
        if method == "anil":
            step = step | {"backbone": jax.tree.map(jnp.zeros_like, step["backbone"])}
        phi = jax.tree.map(lambda p, lr, g: p - lr * g, phi, inner_lr, step)
    if method == "reptile":
        return 0.5 * sum(
            jnp.sum(jnp.square(p - stop(q))) for p, q in zip(*map(jax.tree.leaves, (theta, phi)), strict=True)
        )
    outer = primary(phi, task.query) + (MU * alignment(phi, task.query) if aligned else 0.0)
    return outer + PRE * primary(theta, both(task.support, task.query))


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name, spec in METHODS.items() if not spec.generates_labels])
def test_meta_gradient_of_every_method_equals_its_formula(x64, method):
    base = MethodConfig(
        bilevel=BilevelConfig(inner_lr=ALPHA),
        inner_alignment=LAMBDA,
        outer_alignment=MU,
        initial_weight=PRE,
        temperature=TEMPERATURE,
    )
    config, optimizer = method_config(method, base), optax.sgd(1.0)
    params, tasks = random_params(SMALL, (8, 8, 3)), make_tasks(np.random.default_rng(1), side=8)
    state = init_state(params, config, optimizer)
    after, _ = jax.jit(make_method(config, SMALL, optimizer).update)(state, tasks)
    gradient = jax.tree.map(jnp.subtract, state.params, after.params)

    inner_lr = jax.tree.map(lambda p: jnp.full(p.shape, ALPHA), params)
    each = [jax.tree.map(lambda x, i=i: x[i], tasks) for i in range(2)]
    objective = lambda p, r: sum(by_hand(method, p, task, r) for task in each) / len(each)  # noqa: E731
    expected, expected_lrs = jax.jit(jax.grad(objective, argnums=(0, 1)))(params, inner_lr)
    if method == "meta_sgd":
        close(gradient.inner_lr, expected_lrs)
        gradient = gradient.params
    close(gradient, expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_changes_few_settings(method):
    changed = dataclasses.asdict(method_config(method, MethodConfig()))
    base = dataclasses.asdict(MethodConfig())
    flat = lambda d: {k: v for k, v in (*d["bilevel"].items(), *d.items()) if k not in ("bilevel", "generator")}  # noqa: E731
    differing = [name for name, value in flat(changed).items() if flat(base)[name] != value]
    assert len(differing) <= 5


@pytest.mark.parametrize("method", METHODS)
def test_the_method_of_a_config_cannot_differ_from_its_name(method):
    for former in METHODS:
        assert method_config(method, MethodConfig(name=former)).spec is METHODS[method]


@pytest.mark.slow
def test_without_alignment_lightman_is_maml(setting):
    params, tasks = setting
    weightless = MethodConfig(inner_alignment=0.0, outer_alignment=0.0)
    maml = gradient_of(params, tasks, method_config("maml", MethodConfig()))
    close(gradient_of(params, tasks, weightless), maml)
    assert not np.any(maml["auxiliary"]["kernel"])
    full = gradient_of(params, tasks, method_config("lightman", MethodConfig()))
    assert np.abs(full["auxiliary"]["kernel"]).max() > 1e-3


@pytest.mark.slow
def test_joint_and_inner_lr_zero_are_plain_training_on_the_drawn_clips(setting):
    params, tasks = setting
    config = MethodConfig(inner_alignment=0.0, outer_alignment=0.0, bilevel=BilevelConfig(inner_lr=0.0))
    joint = gradient_of(params, tasks, method_config("joint", MethodConfig()))
    close(gradient_of(params, tasks, config), joint)

    def plain(p):
        def of(images, labels):
            flat = images.reshape(-1, *images.shape[2:])
            return primary_loss(apply_branches(p, flat, config=NETWORK).logits, labels.reshape(-1)).mean()

        support, query = (of(part.image, part.label) for part in (tasks.support, tasks.query))
        return query + 0.5 * (support + query)

    close(jax.grad(plain)(params), joint)


@pytest.mark.slow
def test_first_order_without_outer_alignment_warns_that_the_auxiliary_head_is_not_trained(setting):
    params, tasks = setting
    bilevel = BilevelConfig(first_order=True)
    with pytest.warns(UserWarning, match="exactly zero gradient"):
        config = MethodConfig(bilevel=bilevel, outer_alignment=0.0)
    gradient = gradient_of(params, tasks, config)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient["auxiliary"]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient["primary"]))
    second_order = dataclasses.replace(config, bilevel=BilevelConfig(first_order=False))
    assert np.any(gradient_of(params, tasks, second_order)["auxiliary"]["kernel"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MethodConfig(bilevel=bilevel)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "primary"), [("lightman", "cross_entropy"), ("joint", "focal")])
def test_padding_and_order_of_clips_do_not_change_the_gradient(setting, method, primary):
    params, tasks = setting
    config = method_config(method, MethodConfig(primary=primary))
    expected = gradient_of(params, tasks, config)

    def pad(clips):
        junk = jnp.full_like(clips.image[:, :2], 7.0)
        order = jnp.array([5, 0, 3, 1, 4, 2])
        image, label = jnp.concatenate([clips.image, junk], 1), jnp.pad(clips.label, ((0, 0), (0, 2)))
        where = jnp.pad(clips.where, ((0, 0), (0, 2)))
        return Clips(image[:, order], label[:, order], where[:, order])

    padded = Task(support=pad(tasks.support), macro=pad(tasks.macro), query=pad(tasks.query))
    close(gradient_of(params, padded, config), expected)


@pytest.mark.slow
def test_an_update_changes_every_parameter_and_returns_its_losses(setting):
    params, tasks = setting
    optimizer = optax.sgd(0.1)
    update = make_method(MethodConfig(alignment="cosine"), NETWORK, optimizer).update
    state = TrainState(params=params, opt_state=optimizer.init(params), step=jnp.int32(0))
    state, metrics = jax.jit(update)(state, tasks)
    for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(state.params), strict=True):
        assert np.any(np.asarray(before) != np.asarray(after))
    for name in (
        "inner/primary_loss",
        "inner/alignment_loss",
        "outer/primary_loss",
        "outer/alignment_loss",
        "initial/primary_loss",
    ):
        assert np.isfinite(float(metrics[name]))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: MethodConfig(primary="hinge"), "cross_entropy, balanced, focal"),
        (lambda: MethodConfig(alignment="euclid"), "contrastive, cosine"),
        (lambda: MethodConfig(adapted="head"), "all, heads, backbone"),
        (lambda: MethodConfig(learned_lr="each"), "none, scalar, leaf, entry"),
        (lambda: MethodConfig(margin=-1.0), "0 or more"),
        (lambda: method_problem(method_config("generated", MethodConfig()), NETWORK), "make_method"),
        (lambda: MethodConfig(name="prototype"), "choose one of lightman, lightman_fo, joint, maml"),
        (lambda: MethodConfig(temperature=0.0), "above 0"),
        (lambda: MethodConfig(initial_weight=-1.0), "0 or more"),
        (lambda: method_config("protonet2", MethodConfig()), "lightman, lightman_fo, joint, maml"),
    ],
)
def test_invalid_settings_are_refused(build, text):
    with pytest.raises(ValueError, match=text):
        build()


def test_no_flag_and_no_stored_setting_overrides_the_method():
    for flag in ("--variant=prototype", "--name=protonet"):
        with pytest.raises(ConfigError, match=f"unknown flag {flag.split('=')[0]}"):
            parse_config(["--method=lightman", flag])
    assert parse_config(["--method=protonet"]).trained.method.spec.prototypes
    settings = as_json(parse_config(["--method=lightman"]))
    settings["train"]["method"]["name"] = "protonet"
    with pytest.raises(ConfigError, match="'protonet' contradicts the method 'lightman'"):
        from_json(RunConfig, settings)
