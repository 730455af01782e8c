"""Concrete arguments of public functions are checked; traced ones pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental import checkify

import lightman_jax as lj
from lightman_jax.checks import as_labels
from lightman_jax.meta.adaptation import pad_clips
from lightman_jax.metrics import holm
from tests.inputs import make_clips

LOGITS = np.zeros((2, 3), np.float32)
WRONG = [[0, 3], [-1, 0], [0, 1.9], [0, np.nan], [0, np.inf], ["0", "1"], [True, False], [None, 0]]
LABELS = st.lists(st.one_of(st.integers(-3, 6), st.floats(-3, 6), st.sampled_from([np.nan, np.inf, 1.5])), max_size=6)


@settings(max_examples=80, deadline=None)
@given(LABELS, st.sampled_from([1, 2, 3, 5]))
def test_any_list_of_numbers_is_class_indices_or_refused(values, classes):
    valid = all(np.isfinite(v) and v == int(v) and 0 <= v < classes for v in values)
    if valid:
        np.testing.assert_array_equal(as_labels(values, classes), np.asarray(values, np.int64))
        lj.confusion_matrix(values, values, classes)
    else:
        with pytest.raises(ValueError, match=f"no class indices; give whole numbers in 0..{classes - 1}"):
            as_labels(values, classes)
        with pytest.raises(ValueError, match=r"no class indices|dtype"):
            lj.confusion_matrix(values, values, classes)


@pytest.mark.parametrize("labels", WRONG)
def test_labels_that_are_no_class_indices_are_refused_by_every_function(labels):
    images = np.zeros((2, 4, 4, 3))
    calls = [
        lambda: lj.primary_loss(LOGITS, np.asarray(labels)),
        lambda: lj.focal_loss(LOGITS, np.asarray(labels)),
        lambda: pad_clips([(images, labels)], 3),
        lambda: lj.confusion_matrix(labels, [0, 0], 3),
        lambda: lj.confusion_matrix([0, 0], labels, 3),
        lambda: dataclasses.replace(make_clips(1, 1), label=np.resize(np.asarray(labels), 3)),
    ]
    if labels != [0, 3]:
        calls += [
            lambda: lj.alignment_where(np.asarray(labels), np.asarray([0, 1])),
            lambda: lj.alignment_loss(LOGITS, np.asarray([0, 1]), LOGITS, np.asarray(labels), form="l2"),
        ]
    for call in calls:
        with pytest.raises(ValueError, match=r"class ind|dtype"):
            call()


def test_labels_of_padding_are_not_checked():
    where = np.array([True, False])
    assert lj.primary_loss(LOGITS, np.array([0, -1]), where=where)[1] == 0
    assert as_labels(np.array([0.0, np.nan]), 3, where=where).tolist() == [0, 0]


def test_whole_numbers_of_any_dtype_are_labels():
    expected = lj.primary_loss(jnp.asarray(LOGITS), jnp.array([0, 2]))
    for dtype in (np.uint8, np.int64, np.float32, np.float64):
        np.testing.assert_array_equal(lj.primary_loss(LOGITS, np.array([0, 2], dtype)), expected)


def test_traced_labels_pass_and_checkify_finds_them():
    wrong = jnp.array([0, 3])
    jax.jit(lj.primary_loss)(LOGITS, wrong)
    checked = jax.jit(checkify.checkify(lj.primary_loss, errors=checkify.index_checks))
    error, _ = checked(LOGITS, wrong)
    assert "out-of-bounds" in (error.get() or "")
    assert checked(LOGITS, jnp.array([0, 2]))[0].get() is None


def test_masks_and_probabilities_are_checked():
    labels = np.array([0, 1])
    for where in (np.array([1, 0]), np.array([True]), np.array([[True, True]])):
        with pytest.raises(ValueError, match=r"give bool\[2\]"):
            lj.primary_loss(LOGITS, labels, where=where)
    with pytest.raises(ValueError, match="no probabilities"):
        lj.entropy_loss(jnp.asarray(LOGITS))
    with pytest.raises(ValueError, match="no probabilities"):
        lj.focal_loss(LOGITS, LOGITS)
    with pytest.raises(ValueError, match="one weight for each of 3 classes"):
        lj.primary_loss(LOGITS, labels, class_weights=jnp.ones(2))
    with pytest.raises(ValueError, match="a number above 0"):
        lj.alignment_loss(LOGITS, labels, LOGITS, labels, temperature=0.0)


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (np.zeros((2, 4, 4)), "axis of channels"),
        (np.zeros((2, 4, 4, 3), np.uint8), "dtype uint8"),
        (np.full((2, 4, 4, 3), np.nan), "not finite"),
        (np.full((2, 4, 4, 3), "a"), "dtype <U1"),
    ],
)
def test_images_that_are_not_scaled_flow_are_refused(images, text):
    with pytest.raises(ValueError, match=text):
        pad_clips([(images, [0, 1])])


def test_flow_is_scaled_from_whole_numbers_and_mirrored_only_with_a_sign():
    whole = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    for scaling in ("clip_rms", "clip_minmax"):
        expected = lj.scale_flow(jnp.asarray(whole, jnp.float32), scaling=scaling)
        np.testing.assert_array_equal(lj.scale_flow(whole, scaling=scaling), expected)
    with pytest.raises(ValueError, match="no sign"):
        lj.mirror_flow(whole)
    with pytest.raises(ValueError, match=r"\[\.\.\., H, W, 3\]"):
        lj.mirror_flow(np.zeros((2, 28, 28)))
    with pytest.raises(ValueError, match="at least one training clip"):
        lj.training_mean_square(np.zeros((1, 4, 4, 3), np.float32), np.array([False]))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: lj.BilevelConfig(inner_steps=1.5), "inner_steps 1.5"),
        (lambda: lj.BilevelConfig(inner_lr=float("nan")), "inner_lr nan"),
        (lambda: lj.TrainConfig(learning_rate=float("inf")), "learning_rate inf"),
        (lambda: lj.TrainConfig(steps=2.0), "steps 2.0"),
        (lambda: lj.TaskConfig(shots=1.5), "shots is 1.5"),
        (lambda: lj.MethodConfig(temperature=float("nan")), "temperature nan"),
        (lambda: lj.init_params(0, config=lj.NetworkConfig(), image_shape=(8, 8, 3), classes=3), "random key"),
        (
            lambda: lj.init_params(jax.random.key(0), config=lj.NetworkConfig(), image_shape=(8, 8, 3), classes=1),
            "classes=1",
        ),
        (lambda: lj.leave_one_subject_out("abc"), "no name in a list"),
        (lambda: lj.leave_one_subject_out(["a", None]), "subject None"),
        (lambda: lj.Fold("a", np.array([5]), np.ones(3, bool), np.ones(3, bool)), "no indices of the 3"),
        (lambda: lj.Fold("a", np.array([0]), np.ones(3), np.ones(3, bool)), "train is float64"),
        (lambda: lj.uf1([[1, 2, 3], [1, 2, 3]]), r"shape \(2, 3\)"),
        (lambda: lj.uf1([[1, -2], [1, 2]]), "negative"),
        (lambda: lj.bootstrap_interval(np.ones((1, 2, 2, 2)), level=95), "level 95"),
        (lambda: holm([0.1, 1.2]), "in 0..1"),
        (lambda: lj.confusion_matrix([0, 1], np.eye(2), 2), "one class index per clip"),
        (lambda: lj.bootstrap_interval(np.ones((0, 2, 2, 2))), "a seed and a subject"),
        (lambda: lj.primary_loss(LOGITS, [0, 1], class_weights=[1.0, -1.0, 1.0]), "class_weights"),
        (
            lambda: lj.scale_flow(np.ones((1, 2, 2, 3)), scaling="fold_rms", mean_square=-np.ones((1, 1, 1, 3))),
            "mean_square",
        ),
        (lambda: lj.training_mean_square(np.ones((1, 2, 2, 3)), None), "train is None"),
        (lambda: lj.BilevelConfig(first_order="no"), "first_order 'no'"),
        (lambda: lj.TrainConfig(mirror=None), "mirror None"),
        (lambda: dataclasses.replace(make_clips(1, 1), classes=("a", "a", "b")), "a, a, b have a name twice"),
        (lambda: dataclasses.replace(make_clips(1, 1), subject=("a", None, "b")), "no lists of names"),
        (lambda: dataclasses.replace(make_clips(1, 1), label=np.zeros((3, 1), int)), r"shape \(3, 1\)"),
        (lambda: lj.alignment_where([2**31], [2**31]), "no class indices"),
        (lambda: lj.learn_inner_lr({}, 0.1), "no array"),
        (lambda: lj.learn_inner_lr({"w": jnp.ones(1)}, -0.1), "0 or more"),
    ],
)
def test_other_arguments_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_settings_of_another_type_are_refused():
    for config, network in (("lightman", lj.NetworkConfig()), (lj.MethodConfig(), "mlp")):
        for build in (lj.make_adapter, lambda *settings: lj.make_method(*settings, None)):
            with pytest.raises(TypeError, match=r"give a \w+Config, for example"):
                build(config, network)


def test_lists_and_whole_numbers_are_arguments_of_every_loss():
    where, embeddings = [True, False], np.eye(2, dtype=np.float32)
    expected = lj.primary_loss(jnp.asarray(LOGITS), jnp.array([0, 2]), where=jnp.array(where))
    for logits in (LOGITS.tolist(), LOGITS.astype(int), LOGITS.astype(float)):
        found = lj.primary_loss(logits, [0, 2], where=where, class_weights=[1.0, 1.0, 1.0])
        np.testing.assert_array_equal(found, expected)
    assert lj.primary_loss(np.zeros((0, 3)), [], where=[]).shape == (0,)
    soft = [[1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(lj.focal_loss(LOGITS, soft), lj.focal_loss(LOGITS, [0, 2]), rtol=1e-6)
    assert float(lj.entropy_loss([[0.5, 0.5]])[0]) == pytest.approx(np.log(0.5))
    assert float(lj.mean_where([1, 3, 9], [True, True, False])) == 2.0
    assert float(lj.mean_where(np.array([True, False]), np.array([True, True]))) == 0.5
    for form in ("l2", "mmd"):
        arrays = lj.alignment_loss(embeddings, np.array([0, 1]), embeddings, np.array([1, 0]), form=form)
        lists = lj.alignment_loss(
            embeddings.tolist(), [0, 1], embeddings.astype(int), [1, 0], form=form, where=[True] * 2
        )
        np.testing.assert_array_equal(lists, arrays)


def test_losses_and_scaling_work_under_a_transfer_guard_and_strict_promotion():
    logits, labels = jax.device_put(LOGITS), np.array([0, 2])
    with jax.transfer_guard("disallow"), jax.numpy_dtype_promotion("strict"):
        lj.primary_loss(logits, labels)
        lj.focal_loss(logits, labels)
        lj.alignment_loss(logits, labels, logits, labels.astype(np.uint8))
        lj.scale_flow(np.zeros((1, 4, 4, 3), np.uint8))


def test_tasks_and_weights_of_a_meta_gradient_are_checked():
    loss = lambda p, t: (jnp.sum((p - t) ** 2), {})  # noqa: E731
    problem = {"inner_loss": loss, "outer_loss": loss, "config": lj.BilevelConfig()}
    theta = jnp.ones(1)
    for tasks in ({}, jnp.ones((0, 1)), (jnp.ones((2, 1)), jnp.ones((3, 1))), jnp.ones(())):
        with pytest.raises(ValueError, match="leading axes"):
            lj.meta_gradient(theta, tasks, **problem)
    for weights in (jnp.ones(3), -jnp.ones(2), jnp.array([jnp.nan, 1.0])):
        with pytest.raises(ValueError, match="task_weights"):
            lj.meta_gradient(theta, jnp.ones((2, 1)), task_weights=weights, **problem)
