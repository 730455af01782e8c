"""Protocols as objects: which clips each holds out, and what a complete protocol would have in addition."""

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest

from experiments.cli.config import ProtocolName
from experiments.evaluation.protocols import PROTOCOLS
from lightman_jax.data.records import DataError
from tests.inputs import make_clips


def prepared(micro, macro=None, stand_in=False):
    count = {"pool": "micro", "title": "SMIC-HS", "published": {"negative": 70}, "published_subjects": 16}
    count |= {"found": {"negative": 8}, "subjects": 4}
    manifest = SimpleNamespace(stand_in=stand_in, counts=(SimpleNamespace(**count),), labels="3", notes=("a note",))
    return SimpleNamespace(micro=micro, macro=macro, manifest=manifest)


def joined(*sets):
    first = sets[0]
    return type(first)(
        np.concatenate([s.image for s in sets]),
        np.concatenate([s.label for s in sets]),
        sum((s.subject for s in sets), ()),
        sum((s.clip for s in sets), ()),
        first.classes,
    )


def test_the_table_has_every_value_of_the_flag():
    assert tuple(PROTOCOLS) == get_args(ProtocolName)


def test_loso_holds_out_each_subject_and_counts_what_is_missing():
    clips = make_clips(subjects=4)
    plan = PROTOCOLS["loso"].plan("smic", prepared(clips))
    assert [fold.name for fold in plan.folds] == ["smic/s1", "smic/s2", "smic/s3", "smic/s4"]
    assert (plan.folds_expected, plan.missing) == (16, ["SMIC-HS has 8 of 70 clips", "a note"])
    stand_in = PROTOCOLS["loso"].plan("smic", prepared(clips, stand_in=True))
    assert (stand_in.folds_expected, stand_in.missing) == (4, [])
    assert "synthetic" in stand_in.title or "synthetic" in stand_in.title


def test_leave_one_dataset_out_holds_out_each_corpus_with_its_macro_clips():
    clips = joined(make_clips(subjects=2), make_clips(subjects=3, corpus="casme2"))
    plan = PROTOCOLS["leave_one_dataset_out"].plan("megc2019", prepared(clips, clips))
    assert [fold.name for fold in plan.folds] == ["casme2", "smic"]
    for fold in plan.folds:
        own = np.array(clips.dataset) == fold.name
        assert (fold.train == ~own).all()
        assert (fold.macro_train == ~own).all()
        assert fold.test.tolist() == np.flatnonzero(own).tolist()
    with pytest.raises(DataError, match="at least two corpora, found smic"):
        PROTOCOLS["leave_one_dataset_out"].plan("smic", prepared(make_clips()))


def test_few_shot_holds_out_groups_of_subjects():
    clips = make_clips(subjects=12, each=1)
    plan = PROTOCOLS["few_shot"].plan("smic", prepared(clips))
    assert len(plan.folds) == 6
    for fold in plan.folds:
        tested = {clips.subject[row] for row in fold.test}
        assert len(tested) == 2
        assert not tested & {clips.subject[row] for row in np.flatnonzero(fold.train)}


def test_only_protocols_with_labelled_test_clips_say_so():
    assert [name for name, protocol in PROTOCOLS.items() if protocol.gives_labels] == [
        "few_shot",
        "subject_calibration",
    ]


def test_an_absent_class_stops_the_plan():
    clips = make_clips()
    with pytest.raises(DataError, match="no clip of class surprise"):
        PROTOCOLS["loso"].plan(
            "smic", prepared(type(clips)(clips.image, clips.label % 2, *list(vars(clips).values())[2:]))
        )
