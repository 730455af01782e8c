"""The data of a run: what is refused before anything is trained."""

import dataclasses
import types

import numpy as np
import pytest

from experiments.cli.config import DataConfig, data_folders
from experiments.evaluation.data import check_data, data_notes, refuse_single_class
from lightman_jax.data.preparation.motion_config import MotionConfig
from lightman_jax.data.records import DataError, Problem
from tests.data.corpora.flow_trees import FALL, write_release
from tests.inputs import CLASSES, make_clips


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:1]])
def test_clips_of_one_class_alone_are_refused(classes):
    clips = make_clips(subjects=2)
    refuse_single_class(DataConfig(), clips)
    one = dataclasses.replace(clips, label=np.zeros_like(clips.label), classes=classes)
    with pytest.raises(DataError, match=r"all 12 micro clips of smic have the class negative.*another class.*--labels"):
        refuse_single_class(DataConfig(), one)


def test_every_choice_made_in_reading_the_data_is_one_line():
    flag, remedy = "--incomplete=keep", "the middle frame is used"
    problems = (
        *(Problem(f"row {k}", f"apex {k}", "none", remedy, lost=False) for k in range(7)),
        Problem("row 8", "an offset", "none", "correct it", flag=flag),
        Problem("row 9", "images", "none", "unpack it"),
    )
    manifest = types.SimpleNamespace(
        notes=("clips.csv: read as UTF-16",), problems=problems, corrections=("a/b: 1 to 2",)
    )
    assert data_notes(manifest) == (
        "clips.csv: read as UTF-16",
        f"7 clips or rows used with a change ({remedy}): row 0, row 1, row 2, row 3, row 4 and 2 more",
        f"1 clips or rows left out, {flag} takes them: row 8",
        "1 clips or rows not usable and left out: row 9",
        "1 clips or rows corrected: a/b: 1 to 2",
    )


def test_a_list_of_folders_may_have_commas_in_its_names(tmp_path, monkeypatch):
    for name in ("a", "b,c", "d ", "e"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    for text, names in {
        "a": ["a"],
        "b,c": ["b,c"],
        "d ": ["d "],
        "a,e": ["a", "e"],
        "a, e,": ["a", "e"],
        "a,b,c,e": ["a", "b,c", "e"],
        "b,c,a": ["b,c", "a"],
        "a,a": ["a"],
        "a,none": ["a", "none"],
        "x,y": ["x,y"],
    }.items():
        assert list(map(str, data_folders(text))) == names


def test_clips_without_the_chosen_view_are_left_out_with_a_note(tmp_path):
    one = write_release(tmp_path / "one")
    two = write_release(tmp_path / "two", added=(1,), left_out=["s01_s01_ne_01_1"])
    config = DataConfig("smic", f"{two},{one}", data_cache=str(tmp_path / "cache"), motion=MotionConfig(views=FALL))
    lines = []
    check = check_data(config, lines.append)
    assert [clip.clip for clip in check.reading.clips] == ["smic/s2/s2_po_01"]
    assert f"1 clips are left out: they have no view {FALL}" in check.reading.notes
    assert f"data: checking 1 clips of {one},{two}" in lines
    with pytest.raises(DataError, match="no view dis_rise, only megc2019_rise, causalnet_rise, causalnet_fall; choose"):
        check_data(dataclasses.replace(config, motion=MotionConfig(views="dis_rise")), lines.append)
