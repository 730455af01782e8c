"""Stored images, in memory or in files: the same draws and predictions, and few images in memory at a time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lightman_jax.data.preparation.stored_images import StoredImages
from lightman_jax.meta.method_functions import make_method
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import SCALINGS, scale_parameters, training_mean_square
from lightman_jax.training import cross_validation
from lightman_jax.training.augmentation import AugmentConfig
from lightman_jax.training.clip_scale import clip_scale, scaled_reader
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.drawn_images import StoredForm, drawn_rows, final_rows, stored_rows
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.image_stream import ImageStream
from lightman_jax.training.prediction import predict_folds
from lightman_jax.training.program import method_of
from lightman_jax.training.tasks import Pool, draw_rows_batch, draw_task_batch
from lightman_jax.types import Clips
from tests.inputs import make_clips
from tests.training.test_leakage import make_config, same


def as_dtype(clips, dtype):
    return clips and dataclasses.replace(clips, image=clips.image.astype(dtype))


def stored(clips, read=None):
    """The same clips with images that are read when they are indexed; `read` lists the rows of each reading."""
    if clips is None:
        return None

    def images(rows):
        if read is not None:
            read.append(list(rows))
        return [clips.image[row] for row in rows]

    return dataclasses.replace(clips, image=StoredImages(images, clips.image.shape, clips.image.dtype))


def trained(micro, macro, config):
    """Final parameters and predictions of every fold."""
    folds = leave_one_subject_out(micro.subject, macro.subject if macro is not None else ())
    jobs = list(train_folds(micro, macro, folds, [0], config))
    predictions = predict_folds([(job.fold, job.params) for job in jobs], micro.image, config, micro.classes)
    return [leaf for job in jobs for leaf in jax.tree.leaves(job.params)], np.concatenate(predictions)


def pools():
    micro, macro = make_clips(subjects=4, each=2, side=4), make_clips(subjects=3, each=2, side=4, corpus="ck_plus")
    numbers = {name: row for row, name in enumerate(dict.fromkeys((*micro.subject, *macro.subject)))}

    def pool(clips, held_out):
        subject = np.array([numbers[name] for name in clips.subject])
        train = np.array([name != held_out for name in clips.subject])
        return Pool(*map(jnp.asarray, (clips.image, clips.label, subject, train)))

    return pool(micro, "smic/s2"), pool(macro, "")


@pytest.mark.parametrize("labelled_macro", [0.0, 20.0])
def test_rows_are_those_of_the_tasks_that_are_drawn_with_images(labelled_macro):
    micro, macro = pools()
    config = TaskConfig(shots=2, macro_shots=3, meta_batch_size=3, labelled_macro=labelled_macro)
    for seed in range(5):
        key = jax.random.key(seed)
        tasks = draw_task_batch(key, micro, macro, classes=3, config=config)
        drawn = draw_rows_batch(key, micro, macro, classes=3, config=config, first_macro=len(micro.label))
        images = stored_rows(drawn_rows(drawn, "macro"), micro.image, macro.image)
        ends = np.cumsum([0, *(getattr(drawn, part).row.shape[1] for part in ("support", "query", "macro"))])
        for part, begin, end in zip(("support", "query", "macro"), ends, ends[1:], strict=False):
            own, expected = getattr(drawn, part), getattr(tasks, part)
            np.testing.assert_array_equal(own.where, expected.where)
            np.testing.assert_array_equal(own.label, expected.label)
            shown = np.asarray(own.where)
            np.testing.assert_array_equal(images[:, begin:end][shown], expected.image[shown])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "settings", "with_macro"),
    [
        ("lightman", {}, True),
        ("maml", {"scaling": "fold_rms"}, False),
        ("protonet", {"network": NetworkConfig(width=4, backbone="conv4", normalisation="batch", embedding=4)}, False),
    ],
)
def test_streamed_images_train_the_same_weights_as_images_in_memory(method, settings, with_macro):
    config = make_config(method, steps=3, **settings)
    micro = as_dtype(make_clips(subjects=3, each=2, side=8), np.float16)
    macro = (
        as_dtype(make_clips(subjects=2, each=2, side=8, seed=5, corpus="ck_plus"), np.float16) if with_macro else None
    )
    in_memory = trained(micro, macro, config)
    streamed = trained(stored(micro), stored(macro), config)
    assert same(in_memory[0], streamed[0]), "the same bits"
    np.testing.assert_array_equal(in_memory[1], streamed[1])
    # Images that are scaled once, before they are drawn, differ in rounding.
    scaled_once = trained(as_dtype(micro, np.float32), as_dtype(macro, np.float32), config)
    np.testing.assert_allclose(in_memory[1], scaled_once[1], atol=2e-3)
    assert not same(in_memory[0], trained(dataclasses.replace(micro, image=micro.image[::-1]), macro, config)[0])


@pytest.mark.slow
def test_few_images_are_read_at_a_time_and_predictions_read_test_clips_alone(monkeypatch):
    clips, config, read = (
        as_dtype(make_clips(subjects=3, each=3, side=8), np.float16),
        make_config("joint", steps=4),
        [],
    )
    whole = trained(clips, None, config)
    size = 8 * 8 * 3 * 2
    drawn = 3 * (2 * config.task.shots + config.task.macro_shots)
    # One step of two jobs fits.
    monkeypatch.setattr(cross_validation, "CALL_BYTES", 2 * drawn * size)
    lengths, original = [], cross_validation.training_program
    monkeypatch.setattr(
        cross_validation, "training_program", lambda *given: lengths.append(given[3]) or original(*given)
    )
    streamed = stored(clips, read)
    folds = leave_one_subject_out(clips.subject)
    jobs = list(train_folds(streamed, None, folds, [0], config))
    assert lengths == [1, 1, 1, 1]
    for one, other in zip([leaf for job in jobs for leaf in jax.tree.leaves(job.params)], whole[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert max(map(len, read)) <= 64
    read.clear()
    predict_folds([(job.fold, job.params) for job in jobs[:1]], streamed.image, config)
    assert {row for rows in read for row in rows} == set(folds[0].test.tolist()) | {0}, "padding repeats the first clip"


@pytest.mark.slow
def test_augmented_images_are_converted_as_they_are_drawn():
    clips = make_clips(subjects=3, each=2, side=8)
    config = make_config("joint", steps=3)
    plain, shifted = (
        trained(clips, None, config),
        trained(clips, None, dataclasses.replace(config, augment=AugmentConfig(shift=0.2))),
    )
    assert not same(plain[0], shifted[0])
    assert same(
        shifted[0], trained(stored(clips), None, dataclasses.replace(config, augment=AugmentConfig(shift=0.2)))[0]
    )


@pytest.mark.parametrize("scaling", [name for name in SCALINGS if name != "imagenet"])
def test_scales_of_clips_are_those_of_scaled_images(scaling, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.normal(2, 3, size=(7, 2, 6, 5, 3)).astype(np.float32)
    images[3, 1], images[5, 0, ..., 1] = np.nan, 4.0
    config = TrainConfig(scaling=scaling)
    train = np.arange(7) % 3 > 0
    expected = scale_parameters(images, scaling=scaling, train=jnp.asarray(train), views=True)
    monkeypatch.setattr("lightman_jax.types._BLOCK_BYTES", 1000)
    found = clip_scale(images, config, views=True).of_fold(scaling, jnp.asarray(train))
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(*np.broadcast_arrays(own, other), rtol=2e-6, atol=1e-6)
    if scaling == "fold_rms":
        square = training_mean_square(images, jnp.asarray(train), views=True)
        np.testing.assert_allclose(jnp.square(found.divisor[:1]), square, rtol=2e-6)


def test_grey_levels_are_scaled_as_floating_point_images_are():
    images = np.random.default_rng(0).integers(0, 256, size=(5, 3, 6, 6, 1)).astype(np.uint8)
    train = np.ones(5, bool)
    whole = scaled_reader(images.astype(np.float32), TrainConfig(), train, views=False)
    read = scaled_reader(images, TrainConfig(), train, views=False)
    np.testing.assert_allclose(read([3, 1]), whole([3, 1]), rtol=1e-6, atol=1e-6)


def test_a_stream_reads_each_row_once_and_in_order():
    micro, macro, read = make_clips(subjects=2, each=2, side=4), make_clips(subjects=1, each=3, side=4, seed=3), []
    stream = ImageStream(stored(micro, read).image, stored(macro, read).image)
    joined = np.concatenate([micro.image, macro.image])
    rows = np.random.default_rng(0).integers(0, len(joined), size=(4, 2, 3, 5))
    for own, images in zip(rows, stream.ahead(list(rows)), strict=True):
        np.testing.assert_array_equal(images, joined[own])
    read.clear()
    np.testing.assert_array_equal(stream.read([[2, 2], [13, 2]]), joined[[[2, 2], [13, 2]]])
    assert sorted(row for rows in read for row in rows) == [1, 2]


def test_a_training_ends_with_some_clips_of_every_class():
    label = np.repeat(np.arange(3), [5000, 40, 900]).astype(np.int32)
    train = np.arange(len(label)) % 7 > 0
    clips = final_rows(label, train, StoredForm((112, 112, 1), np.dtype(np.uint8), streamed=True))
    assert clips.row.shape == clips.where.shape == (13, 83)
    rows = clips.row[clips.where]
    assert len(set(rows.tolist())) == len(rows) == 1024
    assert train[rows].all()
    share = np.bincount(label[rows], minlength=3) / np.bincount(label[train], minlength=3)
    np.testing.assert_allclose(share, 1024 / train.sum(), rtol=0.15)
    assert np.ptp(clips.where.sum(axis=1)) <= 1
    few = final_rows(label[:9], train[:9], StoredForm((28, 28, 3), np.dtype(np.float16), streamed=False))
    assert sorted(few.row[few.where].tolist()) == np.flatnonzero(train[:9]).tolist()


@pytest.mark.slow
def test_clips_in_blocks_give_the_prototypes_and_about_the_moments_of_all():
    clips = make_clips(subjects=8, each=4, side=8)
    config = make_config(
        "protonet", network=NetworkConfig(width=4, backbone="conv4", normalisation="batch", embedding=4)
    )
    method = method_of(config)
    state = method.init(jax.random.key(0), (8, 8, 3), 3)
    whole = Clips(jnp.asarray(clips.image), jnp.asarray(clips.label), jnp.ones(len(clips), bool))
    # Blocks of equal shares of the classes, and a last one of padding alone.
    blocks = jax.tree.map(lambda x: jnp.stack([x[0::2], x[1::2], x[0::2]]), whole)
    blocks = dataclasses.replace(blocks, where=blocks.where.at[2].set(False))
    exact, found = jax.jit(method.finish)(state, whole), jax.jit(method.finish)(state, blocks)
    first = [tree["statistics"] for tree in (exact, found)]
    for one, other in zip(*map(jax.tree.leaves, first), strict=True):
        np.testing.assert_allclose(one, other, rtol=0.1, atol=0.02)
    plain = make_method(config.method, dataclasses.replace(config.network, normalisation="group"), optax.sgd(0.1))
    state = plain.init(jax.random.key(0), (8, 8, 3), 3)
    exact, found = plain.finish(state, whole), plain.finish(state, blocks)
    np.testing.assert_allclose(exact["primary"]["kernel"], found["primary"]["kernel"], rtol=1e-4, atol=1e-5)


def test_micro_and_macro_images_of_different_kinds_are_refused():
    clips = make_clips(subjects=3, each=1, side=4)
    macro = as_dtype(make_clips(subjects=1, each=2, side=4, seed=5, corpus="ck_plus"), np.float16)
    folds = leave_one_subject_out(clips.subject, macro.subject)
    with pytest.raises(ValueError, match="micro images are float32, macro images float16"):
        next(train_folds(clips, macro, folds, [0], make_config()))
