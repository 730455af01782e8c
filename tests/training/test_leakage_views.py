"""Clips with several views: no view of a test subject affects its fold, and copies are found in whichever view they are."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.evaluation.classical_baselines import fit_one
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import scale_flow
from lightman_jax.training import leakage
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.leakage import LeakWarning, check_leaks
from lightman_jax.training.near_copies import near_copies
from tests.inputs import make_clips
from tests.training.test_leakage import SUBJECT, make_config, same
from tests.training.test_near_copies import CHANGES, SUBJECTS, clips, mirrored

VIEWS = ("farneback_rise", "farneback_fall", "dis_rise")


def viewed(sets, names=VIEWS):
    """One set of clips whose views are the images of several sets of the same clips."""
    return dataclasses.replace(sets[0], image=np.stack([one.image for one in sets], axis=1), views=names)


def make_views(seed=0, **settings):
    """Clips of three views, of which every fifth lacks one."""
    found = viewed([make_clips(side=8, seed=seed + place, **settings) for place in range(len(VIEWS))])
    for row in range(0, len(found), 5):
        found.image[row, row % len(VIEWS)] = np.nan
    return found


def with_view(micro, row, view, image):
    images = micro.image.copy()
    images[row, view] = image
    return dataclasses.replace(micro, image=images)


def changed(micro, kind, subject):
    rows = np.flatnonzero(np.array(micro.subject) == subject)
    if kind == "labels":
        return dataclasses.replace(
            micro, label=np.where(np.isin(np.arange(len(micro)), rows), (micro.label + 1) % 3, micro.label)
        )
    image = micro.image.copy()
    if kind == "missing views":
        image[rows, 1:] = np.nan
    else:
        place = VIEWS.index(kind)
        image[rows, place] = np.random.default_rng(9).normal(size=image[rows, place].shape) * 50
    return dataclasses.replace(micro, image=image)


CASES = {
    "separate, macro corpus": ({"view_network": "separate"}, {"auxiliary": "macro", "scaling": "fold_rms"}),
    "shared, other views, view dropout": (
        {"view_network": "shared"},
        {"method": "lightman_fo", "auxiliary": "views", "view_dropout": 0.3},
    ),
    "extractions, other views": ({"extractions": ((0, 1), (2,))}, {"method": "lightman_fo", "auxiliary": "views"}),
    "joined, magnified": (
        {"view_network": "joined"},
        {"method": "lightman_fo", "auxiliary": "magnified", "scaling": "fold_rms"},
    ),
    "protonet, shared": ({"view_network": "shared"}, {"method": "protonet"}),
    "joint, separate, batch normalisation": ({"normalisation": "batch"}, {"method": "joint"}),
}
"""Every view network and auxiliary task once; each method sees the clips of its tasks alone, as of one view."""


def train(micro, macro, config):
    """Weights of the fold that tests SUBJECT."""
    folds = leave_one_subject_out(micro.subject, macro.subject if macro is not None else ())
    (job,) = train_folds(micro, macro, [fold for fold in folds if fold.name == SUBJECT], [0], config)
    return jax.tree.leaves(job.params)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_weights_of_a_fold_depend_on_no_view_of_its_test_subject(case):
    network, settings = CASES[case]
    config = make_config(
        **{"steps": 2, **settings, "network": NetworkConfig(width=4, embedding=4, views=len(VIEWS), **network)}
    )
    micro = make_views(each=1)
    macro = make_views(each=1, seed=5) if settings.get("auxiliary") == "macro" else None
    expected = train(micro, macro, config)
    for kind in ("labels", "missing views", *VIEWS):
        assert same(train(changed(micro, kind, SUBJECT), macro, config), expected), kind
        if macro is not None:
            assert same(train(micro, changed(macro, kind, SUBJECT), config), expected), f"macro {kind}"
    # The same changes in a training subject must change the weights, or this test could not fail.
    for kind in ("labels", "missing views", *VIEWS):
        assert not same(train(changed(micro, kind, "smic/s3"), macro, config), expected), kind


@pytest.mark.parametrize("name", ["knn", "linear_svm", "rbf_svm"])
def test_a_classical_baseline_depends_on_no_view_of_its_test_subject(name):
    """Its predictions of unchanged clips are those without the test subject's labels and views."""
    micro, config = make_views(each=1), make_config(scaling="fold_rms", network=NetworkConfig(views=len(VIEWS)))
    fold = next(fold for fold in leave_one_subject_out(micro.subject) if fold.name == SUBJECT)
    expected = fit_one(name, micro, fold, 0, config).predict(micro.image)
    for kind in ("labels", "missing views", *VIEWS):
        fitted = fit_one(name, changed(micro, kind, SUBJECT), fold, 0, config)
        np.testing.assert_array_equal(fitted.predict(micro.image), expected, err_msg=kind)
    assert not np.array_equal(
        fit_one(name, changed(micro, "labels", "smic/s3"), fold, 0, config).predict(micro.image), expected
    )


def test_a_scaling_over_the_views_of_test_clips_is_refused(monkeypatch):
    micro = make_views(each=1)
    fold = leave_one_subject_out(micro.subject)[0]
    check_leaks(micro, None, [fold], "fold_rms")

    def leaking(images, **more):
        # The median of a view over all clips, test clips among them.
        return scale_flow(images, **more) - jnp.nanmedian(images[:, :1])

    monkeypatch.setattr(leakage, "_scaled", leaking)
    with pytest.raises(ValueError, match="scaling fold_rms of its training clips depends on its test clips"):
        check_leaks(micro, None, [fold], "fold_rms")


def views_of(subjects, macro=False):
    """Smooth flow of three views; every view of every clip has a movement of its own."""
    return viewed([clips(subjects, seed=10 * macro + place) for place in range(len(VIEWS))])


COPIES = {"as it is": lambda x: x, "mirrored": lambda x: x[:, ::-1], "mirrored flow": mirrored}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("pool", ["micro", "macro"])
@pytest.mark.parametrize(("view", "other"), [(1, 1), (0, 2)])
def test_a_copy_of_one_view_under_another_subject_is_refused(pool, copied, view, other):
    sets = {"micro": views_of(SUBJECTS), "macro": views_of(SUBJECTS, macro=True)}
    micro = sets["micro"]
    check_leaks(micro, sets["macro"], leave_one_subject_out(micro.subject, micro.subject), "clip_rms")
    copy = COPIES[copied](micro.image[0, view])
    sets[pool] = with_view(sets[pool], 5, other, copy)
    name = sets[pool].clip[5]
    with pytest.raises(
        ValueError, match=f"test clip {micro.clip[0]} has the same image as {name} in its {pool} training pool"
    ):
        check_leaks(sets["micro"], sets["macro"], leave_one_subject_out(micro.subject, micro.subject), "clip_rms")
    # A subject's own clips may be alike, since they leave together.
    one = with_view(micro, 1, other, copy)
    check_leaks(one, None, leave_one_subject_out(one.subject), "clip_rms")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pool", ["micro", "macro"])
@pytest.mark.parametrize(("view", "other"), [(1, 1), (0, 2)])
def test_a_near_copy_of_one_view_under_another_subject_is_named(pool, change, view, other):
    sets = {"micro": views_of(SUBJECTS), "macro": views_of(SUBJECTS, macro=True)}
    micro = sets["micro"]
    assert near_copies(micro, sets["macro"]) == []
    sets[pool] = with_view(sets[pool], 5, other, CHANGES[change](micro.image[0, view]))
    with pytest.warns(LeakWarning, match="near-copies") as warned:
        check_leaks(sets["micro"], sets["macro"], leave_one_subject_out(micro.subject, micro.subject), "clip_rms")
    assert micro.clip[0] in str(warned[0].message)
    assert f"{sets[pool].clip[5]} of subject table/ben" in str(warned[0].message)


def test_missing_views_are_no_copies_of_each_other():
    micro = views_of(SUBJECTS)
    micro.image[::2, 1], micro.image[1::2, 2] = np.nan, np.nan
    assert near_copies(micro, micro) == []
    check_leaks(micro, micro, leave_one_subject_out(micro.subject, micro.subject), "clip_rms")
    # The views that are there are still compared.
    twin = with_view(micro, 5, 0, 1.2 * micro.image[0, 2])
    assert {(copy.row, copy.other) for copy in near_copies(twin, None)} == {(0, 5), (5, 0)}


@pytest.mark.parametrize("subject", ["ann", "Ann", "zoe"])
def test_a_movement_whose_releases_were_not_joined_is_found_under_two_subjects(subject):
    """Each of two releases has its views in clips of its own: fine for one subject, not for two."""
    first, second = views_of(SUBJECTS), views_of([subject] * 3)
    first.image[:3, 2] = np.nan
    second = dataclasses.replace(
        second, image=first.image[:3] + 0, clip=tuple(f"{name} of the second release" for name in second.clip)
    )
    second.image[:, 0] = np.nan
    both = first.join(second)
    folds = leave_one_subject_out(both.subject)
    if subject == "ann":
        check_leaks(both, None, folds, "clip_rms")
        return
    with pytest.raises(ValueError, match="has the same image as"):
        check_leaks(both, None, folds, "clip_rms")
    noise = 0.05 * np.random.default_rng(0).normal(size=both.image.shape).astype(np.float32)
    with pytest.warns(LeakWarning) as warned:
        check_leaks(dataclasses.replace(both, image=both.image + noise), None, folds, "clip_rms")
    text = " ".join(str(one.message) for one in warned)
    assert "near-copies" in text
    assert ("case, blanks or leading zeros" in text) == (subject == "Ann")


def test_the_views_of_hundreds_of_clips_are_compared_in_a_second():
    names = [f"s{row % 68}" for row in range(442)]
    micro = viewed(
        [
            clips(names, image=np.random.default_rng(k).normal(size=(442, 28, 28, 3)).astype(np.float32))
            for k in range(3)
        ]
    )
    start = time.process_time()
    assert near_copies(micro, None) == []
    assert time.process_time() - start < 5
