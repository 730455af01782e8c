"""Networks of clips with several views: groups of single images, masks of missing views, and alignment between views."""

import dataclasses
import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lightman_jax.losses.alignment import alignment_loss
from lightman_jax.meta.adaptation import align_and_predict, make_adapter
from lightman_jax.meta.method_functions import make_method
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.meta.objective import views_loss
from lightman_jax.meta.view_networks import (
    FALL_SHARE,
    group_clips,
    has_view,
    mean_logits,
    network_of_group,
    there_and_back,
    unit_images,
    unit_network,
)
from lightman_jax.networks.dual_branch import VIEW_NETWORKS, NetworkConfig, apply_branches, init_params
from lightman_jax.preprocessing import mirror_flow
from lightman_jax.training.program import drop_views_at_random
from lightman_jax.training.tasks import with_movements
from lightman_jax.types import Clips, Params, Task, TrainState

CLASSES, VIEWS, SIZE = 3, 3, (4, 4, 3)
NETWORK = NetworkConfig(width=4, embedding=4, views=VIEWS, view_network="separate")
METHOD = MethodConfig()


def networks(view_network: str) -> NetworkConfig:
    extractions = ((0,), (2, 1)) if view_network == "extractions" else ()
    return dataclasses.replace(NETWORK, view_network=view_network, extractions=extractions)


def viewed_clips(key: jax.Array, count: int, missing: tuple[tuple[int, int], ...] = ()) -> Clips:
    image = np.array(jax.random.normal(key, (count, VIEWS, *SIZE)))
    for clip, view in missing:
        image[clip, view] = np.nan
    return Clips(jnp.asarray(image), jnp.arange(count, dtype=jnp.int32) % CLASSES, jnp.ones(count, bool))


def viewed_tasks(seed: int = 0, missing: tuple[tuple[int, int], ...] = ()) -> Task:
    keys = jax.random.split(jax.random.key(seed), 3)
    task = Task(*(viewed_clips(key, 6, missing) for key in keys))
    return jax.tree.map(lambda x: x[None], task)


def of_view(tasks: Task, view: int) -> Task:
    return jax.tree.map(lambda x: x[:, :, view] if x.ndim == 6 else x, tasks)


@functools.cache
def some_params(view_network: str) -> Params:
    """Parameters of which none is at its initial zero or one."""
    method, key = make_method(METHOD, networks(view_network), optax.sgd(0.1)), jax.random.key(1)
    shapes = jax.eval_shape(lambda key: method.init(key, (VIEWS, *SIZE), CLASSES).params, key)
    rng = np.random.default_rng(0)
    draw = lambda leaf: rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[1:-1]))  # noqa: E731
    return jax.tree.map(lambda leaf: jnp.asarray(draw(leaf), jnp.float32), shapes)


@functools.cache
def update(name: str, network: NetworkConfig) -> Callable[[Params, Task], Params]:
    """Compiled first update of the parameters."""
    optimizer = optax.adam(0.1)
    method = make_method(method_config(name, METHOD), network, optimizer)

    def new_params(params: Params, tasks: Task) -> Params:
        start = optimizer.init if network.views == 1 else jax.vmap(optimizer.init)
        return method.update(TrainState(params=params, opt_state=start(params), step=jnp.int32(0)), tasks)[0].params

    return jax.jit(new_params)


@functools.cache
def programs(view_network: str) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
    """Compiled probabilities: unadapted, and after alignment at test time."""
    network = networks(view_network)
    method = make_method(METHOD, network, optax.sgd(0.1))
    align = functools.partial(align_and_predict, config=METHOD, network=network)
    return jax.jit(lambda *inputs: jax.nn.softmax(method.logits(*inputs))), jax.jit(align)


@pytest.mark.parametrize(
    ("view_network", "shape"),
    [
        ("extractions", (2, 5, 4, 4, 3)),
        ("separate", (3, 5, 4, 4, 3)),
        ("shared", (1, 15, 4, 4, 6)),
        ("joined", (1, 5, 4, 4, 9)),
    ],
)
def test_groups_have_the_documented_shapes_and_mask_missing_views(view_network, shape):
    clips = viewed_clips(jax.random.key(0), 5, missing=((1, 0), (1, 2)))
    groups = jax.jit(group_clips, static_argnums=1)(clips, networks(view_network))
    assert groups.image.shape == shape
    assert np.isfinite(groups.image).all()
    counted = int(groups.where.sum())
    assert counted == {"extractions": 9, "joined": 5}.get(view_network, 13)


def test_a_shared_network_sees_the_view_in_constant_channels():
    clips = viewed_clips(jax.random.key(0), 2)
    group = jax.jit(group_clips, static_argnums=1)
    image, swapped = (group(clips, networks("shared"), shift).image[0] for shift in (0, 2))
    np.testing.assert_array_equal(
        image[..., 3:], np.broadcast_to(np.tile(np.eye(3), (2, 1))[:, None, None], (6, 4, 4, 3))
    )
    # Place 0 holds view 2, with the mark of view 2.
    np.testing.assert_array_equal(swapped[0], image[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lightman", "reptile"])
def test_the_first_separate_network_is_that_of_the_first_view_alone(name):
    pair, tasks = (networks("separate"), network_of_group(NETWORK)), viewed_tasks()
    inits = [make_method(method_config(name, METHOD), network, optax.adam(0.1)).init for network in pair]
    found, expected = (
        jax.jit(lambda key, init=init, shape=shape: init(key, shape, CLASSES).params)(jax.random.key(1))
        for init, shape in zip(inits, ((VIEWS, *SIZE), SIZE), strict=True)
    )
    found, expected = update(name, pair[0])(found, tasks), update(name, pair[1])(expected, of_view(tasks, 0))
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[0], found), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.slow
def test_a_clip_without_a_view_takes_no_part_in_the_network_of_that_view():
    params, new_params = some_params("separate"), update("lightman", networks("separate"))
    tasks = viewed_tasks(missing=((2, 1),))
    after = new_params(params, tasks)
    masked = jax.tree.map(
        lambda x: x.at[:, 2].set(False) if x.dtype == bool else jnp.nan_to_num(x) if x.dtype == jnp.float32 else x,
        tasks,
    )
    expected = new_params(params, masked)
    own = lambda tree, view: jax.tree.map(lambda x: x[view], tree)  # noqa: E731
    chex.assert_trees_all_close(own(after, 1), own(expected, 1), rtol=1e-6)
    assert np.isfinite(jax.tree.leaves(after)[0]).all()


@pytest.mark.parametrize("view_network", VIEW_NETWORKS)
def test_a_prediction_is_the_mean_over_the_views_that_a_clip_has(view_network):
    network = networks(view_network)
    clips = viewed_clips(jax.random.key(3), 4, missing=((0, 1), (3, 0), (3, 2)))
    params, (predict, _) = some_params(view_network), programs(view_network)
    found = predict(params, clips.image)
    assert np.isfinite(found).all()
    if view_network == "separate":
        one = jax.jit(
            lambda own, image: jax.nn.softmax(apply_branches(own, image, config=network_of_group(network)).logits)
        )
        of_view = np.stack([one(jax.tree.map(lambda x, v=v: x[v], params), clips.image[:, v]) for v in range(VIEWS)])
        expected = [of_view[has_view(clips.image)[clip], clip].mean(axis=0) for clip in range(4)]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    others = clips.image.at[:3].set(jax.random.normal(jax.random.key(9), (3, VIEWS, *SIZE)))
    np.testing.assert_allclose(predict(params, others)[3], found[3], rtol=1e-5)


def test_mean_logits_weigh_the_present_views_alone():
    images = viewed_clips(jax.random.key(0), 2, missing=((1, 0),)).image
    p = np.array(
        [[[0.8, 0.1, 0.1], [0.2, 0.4, 0.4]], [[0.2, 0.6, 0.2], [0.1, 0.1, 0.8]], [[0.5, 0.2, 0.3], [0.3, 0.3, 0.4]]]
    )
    found = jax.nn.softmax(jax.jit(mean_logits, static_argnums=2)(jnp.log(p), images, networks("separate")))
    np.testing.assert_allclose(found, [p[:, 0].mean(axis=0), p[1:, 1].mean(axis=0)], rtol=1e-5)


def test_every_view_meets_every_other_view():
    clips = viewed_clips(jax.random.key(0), 2)
    group = jax.jit(group_clips, static_argnums=1)
    met = [group(clips, NETWORK, 1 + step).image for step in range(VIEWS - 1)]
    for view in range(VIEWS):
        places = [next(v for v in range(VIEWS) if (image[view] == clips.image[:, v]).all()) for image in met]
        assert sorted(places) == [v for v in range(VIEWS) if v != view]


def test_a_movement_there_and_back_keeps_what_returns_and_the_size_of_the_rise():
    rng = np.random.default_rng(0)
    movement, drift = rng.normal(size=(2, 1, 6, 6, 3)).astype(np.float32)
    movement[..., 2], drift[..., 2] = np.abs(movement[..., 2]), 0
    back = movement * np.array([-1, -1, 1], np.float32)
    found = there_and_back(jnp.asarray(movement + drift), jnp.asarray(back + drift))
    expected = (1 + FALL_SHARE) * movement + (1 - FALL_SHARE) * drift
    rms = lambda x: np.sqrt(np.square(x).mean(axis=(1, 2), keepdims=True))  # noqa: E731
    np.testing.assert_allclose(found, expected * rms(movement + drift) / rms(expected), rtol=1e-4, atol=1e-5)
    missing = np.full_like(movement, np.nan)
    np.testing.assert_array_equal(there_and_back(movement, missing), movement)
    np.testing.assert_array_equal(there_and_back(missing, back), movement)
    assert np.isnan(there_and_back(missing, missing)).all()


def test_the_alignment_pairs_the_views_of_one_movement():
    """Against the contrastive loss with the number of the movement as its class; other movements of the task do not take part."""
    task = with_movements(jax.tree.map(lambda x: x[0], viewed_tasks()))
    single = network_of_group(NETWORK)
    view = lambda clips, v: dataclasses.replace(clips, image=clips.image[:, v])  # noqa: E731

    @jax.jit
    def both(own):
        found, _ = views_loss(own, view(task.query, 0), view(task.macro, 1), METHOD, single)
        embed = lambda clips, v: apply_branches(own, clips.image[:, v], config=single).embedding  # noqa: E731
        expected = alignment_loss(
            embed(task.query, 0),
            jnp.arange(6),
            embed(task.query, 1),
            jnp.arange(6),
            form="contrastive",
            temperature=0.1,
        )
        return found, METHOD.inner_alignment * expected.mean()

    found, expected = both(jax.tree.map(lambda x: x[0], some_params("separate")))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found > 0


def test_dropped_views_are_missing_and_every_clip_keeps_one():
    tasks = viewed_tasks(missing=((0, 0), (0, 1)))
    dropped = drop_views_at_random(jax.random.key(0), tasks, 0.9)
    present = ~np.isnan(np.asarray(dropped.support.image)).any(axis=(3, 4, 5))
    assert present.any(axis=-1).all()
    assert present.sum() < 14
    assert not present[0, 0, :2].any()


@pytest.mark.slow
@pytest.mark.parametrize("view_network", ["separate", "shared"])
def test_alignment_at_test_time_needs_no_label_and_ignores_padding(view_network):
    params, (unadapted, predict) = some_params(view_network), programs(view_network)
    clips = viewed_clips(jax.random.key(5), 4, missing=((2, 0),))
    found = predict(params, clips.image)
    assert np.abs(found - unadapted(params, clips.image)).max() > 1e-4
    order = jnp.array([2, 0, 3, 1])
    np.testing.assert_allclose(predict(params, clips.image[order]), found[order], rtol=1e-4)
    padded = jnp.concatenate([clips.image, clips.image[:1]])
    np.testing.assert_allclose(predict(params, padded, where=jnp.arange(5) < 4)[:4], found, rtol=1e-4)


def test_without_inner_steps_alignment_at_test_time_changes_nothing():
    params, images = some_params("shared"), viewed_clips(jax.random.key(5), 4).image
    still = dataclasses.replace(METHOD, bilevel=dataclasses.replace(METHOD.bilevel, inner_steps=0))
    found = jax.jit(functools.partial(align_and_predict, config=still, network=networks("shared")))(params, images)
    np.testing.assert_allclose(found, programs("shared")[0](params, images), rtol=1e-5)


def test_a_method_without_alignment_has_nothing_to_align_at_test_time():
    with pytest.raises(ValueError, match="give lightman, clips with several views"):
        align_and_predict({}, jnp.zeros((1, VIEWS, *SIZE)), config=method_config("maml", METHOD), network=NETWORK)


@pytest.mark.parametrize("view_network", VIEW_NETWORKS)
def test_networks_of_views_adapt_to_labelled_clips(view_network):
    network = networks(view_network)
    labelled = viewed_clips(jax.random.key(6), 6, missing=((1, 1),))
    adapter = make_adapter(
        dataclasses.replace(METHOD, bilevel=dataclasses.replace(METHOD.bilevel, inner_steps=150)), network
    )
    support = np.asarray(labelled.image), np.asarray(labelled.label)
    (found,) = adapter(some_params(view_network), [support], [support[0]])
    assert found.shape == (6, CLASSES)
    assert (found.argmax(axis=1) == support[1]).mean() > 0.8
    lost = np.array(support[0])
    lost[0] = np.nan
    with pytest.raises(ValueError, match="no view at all"):
        adapter(some_params(view_network), [support], [lost])


@pytest.mark.slow
def test_a_step_on_units_computed_before_is_the_step_on_views():
    network, tasks = networks("extractions"), viewed_tasks(missing=((0, 1), (2, 2), (4, 1), (4, 2)))
    units = jax.tree.map(lambda x: jax.vmap(lambda y: unit_images(y, network))(x) if x.ndim == 6 else x, tasks)
    assert units.support.image.shape == (1, 6, 2, *SIZE)
    assert np.isnan(np.asarray(units.support.image)[0, 4, 1]).all()
    params = some_params("extractions")
    found, expected = (
        update("lightman", unit_network(network))(params, units),
        update("lightman", network)(params, tasks),
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)


def test_units_of_mirrored_views_are_mirrored_units():
    images, network = viewed_clips(jax.random.key(0), 2, missing=((1, 1),)).image, networks("extractions")
    np.testing.assert_allclose(
        unit_images(mirror_flow(images), network), mirror_flow(unit_images(images, network)), rtol=1e-5
    )
    alone = NetworkConfig(views=2, extractions=((0, 1),))
    assert unit_network(alone).views == 1
    assert unit_images(images[:, 1:], alone).shape == (2, 1, *SIZE)


@pytest.mark.parametrize("view_network", VIEW_NETWORKS)
def test_images_of_another_number_of_views_are_refused(view_network):
    clips = viewed_clips(jax.random.key(0), 2)
    fewer = dataclasses.replace(clips, image=clips.image[:, :2])
    with pytest.raises(ValueError, match=r"need \[n, 3, H, W, C\]"):
        group_clips(fewer, networks(view_network))
    for shape in ((2, *SIZE), SIZE):
        with pytest.raises(ValueError, match=r"these networks need \(3, H, W, C\)"):
            make_method(METHOD, networks(view_network), optax.sgd(0.1)).init(jax.random.key(0), shape, CLASSES)


def test_the_functions_of_one_network_refuse_the_settings_of_views():
    """They would take views for frames, and a missing view for the values of all of them."""
    with pytest.raises(ValueError, match=r"one network of single images, .* for 3 views; make_method\(\.\.\.\)\.init"):
        init_params(jax.random.key(0), config=NETWORK, image_shape=(VIEWS, *SIZE), classes=CLASSES)
    params = init_params(jax.random.key(0), config=network_of_group(NETWORK), image_shape=SIZE, classes=CLASSES)
    with pytest.raises(ValueError, match="one network of single images"):
        apply_branches(params, viewed_clips(jax.random.key(0), 2).image, config=NETWORK)
