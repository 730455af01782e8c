"""Both flow releases: told apart by their files, joined clip by clip from one folder or several, with any part missing."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.records import DataError
from tests.data.corpora.flow_trees import CLIPS, FALL, FIRST, SECOND, TABLE, write_release

IDS = [
    *("smic/s1/s1_ne_01", "smic/s2/s2_po_01", "casme2/sub05/EP19", "casme2/sub05/EP19_1"),
    *("samm/006/006_1_2", "samm/006/006_1_3"),
]


def files(reading):
    return {
        c.clip: {view: path.stem.strip() for view, path in zip(c.views, c.paths, strict=True)} for c in reading.clips
    }


@pytest.fixture
def both(tmp_path):
    return write_release(tmp_path / "a" / "one"), write_release(tmp_path / "a" / "two", added=(1, 2, 3))


def test_the_first_release_alone_has_no_views(both):
    reading = read_corpus("megc2019", both[0])
    assert [clip.clip for clip in reading.clips] == IDS
    assert {(clip.views, len(clip.paths)) for clip in reading.clips} == {((), 1)}
    assert not reading.folders
    assert not reading.notes


def test_the_second_release_alone_has_two_views(both):
    found = files(read_corpus("megc2019", both[1]))
    assert list(found) == IDS
    assert found["smic/s1/s1_ne_01"] == {SECOND: "s01_s01_ne_01", FALL: "s01_s01_ne_01_1"}
    # `EP19_1` is the clip of that name, so `EP19` has no way back.
    assert found["casme2/sub05/EP19"] == {SECOND: "sub05_EP19"}
    assert found["casme2/sub05/EP19_1"] == {SECOND: "sub05_EP19_1", FALL: "sub05_EP19_1_1"}


@pytest.mark.parametrize("place", ["in order", "permuted", "one folder", "nested"])
def test_both_releases_give_one_clip_with_three_views(both, tmp_path, place):
    given_folders = {
        "in order": both,
        "permuted": both[::-1],
        "one folder": tmp_path / "a",
        "nested": [tmp_path / "a", *both],
    }[place]
    reading = read_corpus("megc2019", given_folders)
    found = files(reading)
    assert list(found) == IDS
    assert [clip.subject for clip in reading.clips] == [c.subject for c in read_corpus("megc2019", both[0]).clips]
    assert found["samm/006/006_1_2"] == {FIRST: "006_006_1_2", SECOND: "006_006_1_2", FALL: "006_006_1_2_1"}
    assert {tuple(views) for clip, views in found.items() if clip != IDS[2]} == {(FIRST, SECOND, FALL)}
    for clip in reading.clips:
        assert [path.parts[-3] for path in clip.paths] == ["one", "two", "two"][: len(clip.paths)]
    assert not reading.problems
    notes = " ".join(reading.notes)
    assert f"CASME II: 1 clips have the views {FIRST}, {SECOND}; 1 clips have the views {FIRST}" in notes
    assert "flow images of the release causalnet" in notes
    assert "no apex" not in notes
    assert "not used" not in notes
    if place in ("in order", "permuted"):
        assert reading.root == both[0]
        assert reading.place == f"{both[0]},{both[1]}"


def test_one_table_above_both_releases_serves_both(both, tmp_path):
    (both[0] / TABLE).rename(tmp_path / "a" / TABLE)
    (both[1] / TABLE).unlink()
    assert len(files(read_corpus("samm", tmp_path / "a"))["samm/006/006_1_2"]) == 3
    assert len(read_corpus("samm", [tmp_path / "a" / "two", tmp_path / "a" / "one"]).clips) == 2


def test_labels_that_differ_are_reported_and_the_first_release_counts(tmp_path):
    one = write_release(tmp_path / "one")
    two = write_release(tmp_path / "two", added=(1,), labels={("smic", "s01", "s01_ne_01"): 2})
    for folders in ([one, two], [two, one]):
        reading = read_corpus("smic", folders)
        assert [clip.emotion for clip in reading.clips] == ["negative", "positive"]
        (problem,) = reading.problems
        assert not problem.lost
        assert "smic/s1/s1_ne_01" in problem.where
        assert "found surprise; expected negative, the label in the table read first" in problem.reason


def test_parts_of_one_release_in_two_folders_are_joined(tmp_path):
    smic = {key: label for key, label in CLIPS.items() if key[0] == "smic"}
    rest = {key: label for key, label in CLIPS.items() if key[0] != "samm"}
    parts = [write_release(tmp_path / "one", clips=smic), write_release(tmp_path / "two", clips=rest)]
    reading = read_corpus("megc2019", parts)
    assert len(reading.clips) == 4
    assert {clip.views for clip in reading.clips} == {()}
    assert {clip.paths[0].parts[-3] for clip in reading.clips if clip.corpus == "smic"} == {"one"}
    assert any("2 flow images in" in note and "are not used" in note for note in reading.notes)


def test_folders_that_cannot_be_joined_are_refused(both, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no flow release.*only flow releases are joined.*give --data_dir"):
        read_corpus("megc2019", [both[0], tmp_path / "empty"])
    with pytest.raises(DataError, match=r"two-fold does not exist"):
        read_corpus("megc2019", [both[0], tmp_path / "two-fold"])
    with pytest.raises(
        DataError, match=r"has no flow release, so it is read from one folder; found .*one, .*two; choose"
    ):
        read_corpus("casme3", both)


NAMES = [f"{subject}_{clip}" for _, subject, clip in CLIPS]
ADDED = [f"{name}_{number}" for name in NAMES for number in (1, 2, 3)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES + ADDED)), st.booleans())
def test_any_part_of_both_releases_is_read(tmp_path_factory, first, second, swapped):
    top = tmp_path_factory.mktemp("releases")
    one = write_release(top / "one", left_out=set(NAMES) - first)
    two = write_release(top / "two", added=(1, 2, 3), left_out=set(NAMES + ADDED) - second)
    # Files of a listed clip are its own: `EP19_1` is no added file of `EP19`.
    is_second = bool(second & (set(ADDED) - set(NAMES)))
    expected = {}
    for (corpus, subject, clip), name in zip(CLIPS, NAMES, strict=True):
        views = {FIRST: name in first or (not is_second and name in second)}
        if is_second:
            views |= {SECOND: name in second, FALL: f"{name}_1" in second - set(NAMES)}
        if any(views.values()):
            expected[corpus, subject, clip] = tuple(view for view, present in views.items() if present)
    try:
        reading = read_corpus("megc2019", [two, one] if swapped else [one, two])
    except DataError:
        assert not expected
        return
    found = {(clip.corpus, clip.clip.split("/")[1], clip.clip.split("/")[2]): clip.views for clip in reading.clips}
    normal = {"s01": "s1", "s02": "s2", "s01_ne_01": "s1_ne_01", "s02_po_01": "s2_po_01"}
    assert found == {
        (corpus, normal.get(subject, subject), normal.get(clip, clip)): views if is_second else ()
        for (corpus, subject, clip), views in expected.items()
    }
    assert all(len(clip.paths) == max(1, len(clip.views)) for clip in reading.clips)


@pytest.mark.skipif(not os.environ.get("LIGHTMAN_FLOW"), reason="LIGHTMAN_FLOW is not the folder of the flow release")
def test_the_real_releases_have_the_same_clips():
    first = Path(os.environ["LIGHTMAN_FLOW"])
    second = first.parent / f"{first.name}_second"
    if not second.is_dir():
        pytest.skip(f"{second} is missing")
    alone, joined = read_corpus("megc2019", first), read_corpus("megc2019", [second, first])
    assert [clip.clip for clip in joined.clips] == [clip.clip for clip in alone.clips]
    assert [clip.emotion for clip in joined.clips] == [clip.emotion for clip in alone.clips]
    assert [clip.paths[0] for clip in joined.clips] == [clip.paths[0] for clip in alone.clips]
    assert Counter(clip.views for clip in joined.clips) == {(FIRST, SECOND, FALL): len(alone.clips)}
    assert not joined.problems
