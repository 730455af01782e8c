"""Views of a movement: one view is the single image bit for bit, a view that a clip lacks is NaN and reported with its reason."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.labels import assign_labels
from lightman_jax.data.preparation import clip_faces, representation
from lightman_jax.data.preparation.check import check_reading
from lightman_jax.data.preparation.clip_cache import ClipCache, motion_key
from lightman_jax.data.preparation.load import load_clips
from lightman_jax.data.preparation.manifest import read_manifest
from lightman_jax.data.preparation.motion_config import MotionConfig, motion_in_use
from lightman_jax.data.preparation.prepare import KEEP_UNMOVED, prepare_clips, source_fingerprint
from lightman_jax.data.preparation.representation import motion_image, motion_of_faces
from lightman_jax.data.preparation.views import COMPUTED_VIEWS
from lightman_jax.data.records import DataError, RawClip, Reading
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig, simulated_au_reading
from lightman_jax.data.vision.images import read_image, write_image
from lightman_jax.data.vision.optical_flow import FLOW_METHODS, warp_image
from tests.data.corpora.flow_trees import FALL, FIRST, SECOND, write_release

SIDE = 48
SMALL = MotionConfig(face_side=SIDE, image_side=12)


def moving_clip(folder, moves=(0.0, 1.0, 2.0, 0.5), apex=2, **more):
    """A clip whose frames are displaced to the right by `moves` pixels."""
    coarse = np.random.default_rng(0).integers(40, 215, (SIDE // 4, SIDE // 4, 3))
    base = np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)
    folder.mkdir()
    paths = tuple(folder / f"{number}.png" for number in range(len(moves)))
    for path, move in zip(paths, moves, strict=True):
        write_image(path, warp_image(base, np.full((SIDE, SIDE, 2), (move, 0.0))))
    numbers = tuple(range(len(moves)))
    return RawClip(f"c/s/{folder.name}", "c/s", "micro", "frames", paths, numbers, apex, cropped=True, **more)


def with_views(*names, **more):
    return dataclasses.replace(SMALL, views=",".join(names), **more)


@pytest.mark.parametrize(
    ("views", "text"),
    [
        ("raft_rise", "view 'raft_rise' is unknown; choose all, or some of farneback_rise, .*causalnet_fall"),
        ("dis_rise,dis_rise", "list a view twice; list each once: --views=dis_rise"),
        ("dis", "view 'dis' is unknown"),
        ("all, dis_rise", "list all next to other names; give all alone, or the names: --views=all"),
    ],
)
def test_wrong_views_are_named_with_what_is_allowed(views, text):
    with pytest.raises(ValueError, match=text):
        MotionConfig(views=views)


def test_views_of_another_representation_are_refused():
    with pytest.raises(ValueError, match="views of flow, which the representation apex does not have; choose --repr"):
        MotionConfig(representation="apex", views="all")


@pytest.mark.parametrize("more", [{}, {"magnify": 3.0}, {"apex_policy": "spot"}, {"apex_policy": "middle"}])
def test_each_view_is_the_single_image_of_its_method_and_leg(tmp_path, more):
    clip = moving_clip(tmp_path / "clip")
    result = motion_image(clip, with_views("all", **more))
    assert result.image.shape == (6, 12, 12, 3)
    assert result.missing == ("",) * 6
    back = dataclasses.replace(
        clip,
        paths=clip.paths[result.apex :],
        numbers=clip.numbers[result.apex :],
        apex=len(clip.paths) - 1 - result.apex,
    )
    for method, way in itertools.product(FLOW_METHODS, ("rise", "fall")):
        given = {"apex_policy": "given"} if way == "fall" else {}
        single = dataclasses.replace(SMALL, flow_method=method, **{**more, **given})
        alone = motion_image(clip if way == "rise" else back, single).image
        np.testing.assert_array_equal(result.image[COMPUTED_VIEWS.index(f"{method}_{way}")], alone)
        np.testing.assert_array_equal(motion_image(clip, with_views(f"{method}_{way}", **more)).image, alone)
    rise, fall = result.image[:2, ..., 0]
    assert np.median(rise) > 0.3 > -0.3 > np.median(fall)


def test_one_default_view_is_the_setting_of_its_method():
    clips = (RawClip("c/s/1", "c/s", "micro", "video", ()),)
    assert motion_in_use(clips, with_views("dis_rise")) == dataclasses.replace(SMALL, flow_method="dis")
    assert motion_in_use(clips, SMALL) == SMALL
    assert motion_in_use(clips, with_views("farneback_fall")).views == "farneback_fall"
    assert motion_in_use(clips, with_views("all")).view_names == COMPUTED_VIEWS
    with pytest.raises(DataError, match=r"no view causalnet_fall, only farneback_rise.*such as --views=dis_rise"):
        motion_in_use(clips, with_views("dis_rise", FALL))


def test_a_face_is_found_and_each_frame_decoded_once(tmp_path, monkeypatch):
    calls = []
    for module, name in (
        (clip_faces, "clip_box"),
        (representation, "read_clip_images"),
        (clip_faces, "crop_face"),
    ):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *args, name=name, original=original: (calls.append(name), original(*args))[1]
        )
    motion_image(moving_clip(tmp_path / "clip"), with_views("farneback_rise", "farneback_fall", "dis_rise"))
    assert sorted(calls) == ["clip_box", *["crop_face"] * 3, "read_clip_images"]


def test_a_leg_that_a_clip_lacks_is_missing_in_every_pixel(tmp_path):
    config = with_views("farneback_rise", "dis_fall")
    at_end = moving_clip(tmp_path / "end", (0.0, 1.0, 2.0), apex=2)
    at_start = moving_clip(tmp_path / "start", (2.0, 1.0, 0.0), apex=0)
    rests = moving_clip(tmp_path / "rests", (0.0, 2.0, 2.0), apex=1)
    still = moving_clip(tmp_path / "still", (0.0, 0.0, 0.0), apex=1)
    expected = {
        at_end: (0, ("", "their apex is the last frame")),
        at_start: (1, ("their apex is the first frame", "")),
        rests: (0, ("", "their frames show no movement of the face")),
    }
    for clip, (place, missing) in expected.items():
        result = motion_image(clip, config)
        assert result.missing == missing
        assert result.moves == "face"
        assert np.isfinite(result.image[place]).all()
        assert np.isnan(result.image[1 - place]).all()
    result = motion_image(still, config)
    assert result.moves == "nowhere"
    assert not result.image.any()
    # The corpus ends at the apex, whatever apex is used.
    assert motion_image(at_end, dataclasses.replace(config, apex_policy="middle")).missing[1]
    assert motion_image(at_end, with_views("dis_fall")).moves == "nowhere"


def test_a_movement_in_a_video_has_the_same_views(tmp_path):
    clip = moving_clip(tmp_path / "clip")
    faces = [read_image(path) for path in clip.paths]
    config = with_views("farneback_rise", "dis_fall")
    np.testing.assert_array_equal(motion_of_faces(faces, 2, config), motion_image(clip, config).image)
    pair = motion_of_faces([faces[0], faces[2]], 1, config)
    assert np.isnan(pair[1]).all()
    np.testing.assert_array_equal(pair[0], motion_of_faces([faces[0], faces[2]], 1, SMALL))
    released = motion_of_faces(faces, 2, with_views(FIRST, SECOND, FALL, flow_method="dis"))
    np.testing.assert_array_equal(released, motion_of_faces(faces, 2, with_views("dis_rise", "dis_fall"))[[0, 0, 1]])
    with pytest.raises(ValueError, match="the apex is the last frame, so the movement has no view dis_fall"):
        motion_of_faces(faces[:3], 2, with_views("dis_fall"))


def test_the_way_back_of_a_simulated_clip_is_its_negative_field():
    clip = simulated_au_reading(SimulatedAUConfig(subjects=1, micro_clips=1, macro_clips=1)).clips[0]
    rise, fall, other = motion_image(clip, with_views("farneback_rise", "farneback_fall", FIRST)).image
    np.testing.assert_array_equal(rise, motion_image(clip, SMALL).image)
    np.testing.assert_array_equal(other, rise)
    np.testing.assert_array_equal(fall, rise * (-1, -1, 1))
    assert (rise[..., 2] > 0).any()


def prepare(reading, out, config):
    reading, space = assign_labels(reading, "3", ("smic", "casme2", "samm"))
    cache = ClipCache(out.parent / "clips", workers=1)
    check = check_reading(reading, space, cache)
    return prepare_clips(check, out, dataset="megc2019", config=config, cache=cache), check


@pytest.fixture
def releases(tmp_path):
    names = ["casme2/sub05/EP19", "smic/s1/s1_ne_01"]
    one = write_release(tmp_path / "one", left_out=["s01_s01_ne_01"])
    return names, [one, write_release(tmp_path / "two", added=(1,))]


def test_prepared_views_are_loaded_with_their_names_and_gaps(releases, tmp_path):
    (no_fall, no_first), folders = releases
    manifest, check = prepare(read_corpus("megc2019", folders), tmp_path / "out", MotionConfig())
    assert manifest.views == {FIRST: 5, SECOND: 6, FALL: 5}
    assert manifest.motion.views == f"{FIRST},{SECOND},{FALL}"
    assert f"1 of 6 micro clips have no view {FALL}: the release has no such image of them" in manifest.notes
    assert read_manifest(tmp_path / "out") == manifest
    micro = load_clips(tmp_path / "out").micro
    assert micro.views == (FIRST, SECOND, FALL)
    assert micro.image.shape == (6, 3, 28, 28, 3)
    for clip, has in zip(micro.clip, micro.has_view, strict=True):
        assert has.tolist() == [clip != no_first, True, clip != no_fall]
    for clip in check.reading.clips:
        for view, path in zip(clip.views, clip.paths, strict=True):
            stored = micro.image[micro.clip.index(clip.clip), micro.views.index(view)]
            np.testing.assert_array_equal(stored, read_image(path))
    builder = tfds.builder_from_directory(tmp_path / "out")
    origin = f"megc2019, read by the layout flow_release; views: {FIRST}, {SECOND}, {FALL}"
    assert builder.info.description == f"{origin}. Images [view, H, W, channel], NaN where a clip lacks a view"
    assert builder.info.features["image"].shape == (3, 28, 28, 3)


def test_one_view_of_two_releases_is_the_image_of_one_release(releases, tmp_path):
    _, folders = releases
    both = read_corpus("megc2019", folders)
    alone, _ = prepare(read_corpus("megc2019", folders[0]), tmp_path / "alone", MotionConfig())
    chosen, check = prepare(both, tmp_path / "chosen", MotionConfig(views=FIRST))
    assert chosen.views == alone.views == {}
    assert alone.motion.views == ""
    expected, found = (load_clips(tmp_path / name).micro for name in ("alone", "chosen"))
    assert found.views == ()
    assert found.clip == expected.clip
    np.testing.assert_array_equal(found.image, expected.image)
    prints = {source_fingerprint(check, MotionConfig(views=views)) for views in ("", FIRST, FALL, f"{FIRST},{FALL}")}
    assert len(prints) == 4
    clip = check.reading.clips[0]
    shown = [dataclasses.replace(clip, paths=clip.paths[:1], views=views) for views in ((), (FIRST,), (SECOND,))]
    assert len({motion_key(one, ["0"], MotionConfig()) for one in shown}) == 3
    with pytest.raises(DataError, match=f"no view dis_rise, only {FIRST}, {SECOND}, {FALL}; .*--views={FIRST}"):
        prepare(both, tmp_path / "none", MotionConfig(views="dis_rise"))


def test_a_damaged_or_constant_image_loses_its_view_and_not_the_clip(tmp_path):
    two = write_release(tmp_path / "two", added=(1,))
    reading = read_corpus("smic", two)
    broken, constant = reading.clips
    broken.paths[0].write_bytes(b"broken")
    write_image(constant.paths[1].with_name("new.png"), np.full((28, 28, 3), 9, np.uint8))
    constant.paths[1].with_name("new.png").rename(constant.paths[1])
    manifest, check = prepare(reading, tmp_path / "out", MotionConfig())
    assert [clip.views for clip in check.reading.clips] == [(FALL,), (SECOND,)]
    assert [problem.lost for problem in manifest.problems] == [False, False]
    assert "used without its view causalnet_rise" in manifest.problems[0].remedy
    assert manifest.problems[1].found == "a constant image"
    assert manifest.views == {SECOND: 1, FALL: 1}
    broken.paths[1].write_bytes(b"broken")
    manifest, _ = prepare(reading, tmp_path / "again", MotionConfig())
    assert [problem.lost for problem in manifest.problems] == [False, False, True, False]
    assert manifest.clips == {"micro": 1}


def test_a_view_of_another_size_is_missing(tmp_path):
    reading = read_corpus("smic", write_release(tmp_path / "two", added=(1,)))
    path = reading.clips[0].paths[1]
    path.unlink()
    write_image(path.with_name("new.png"), np.random.default_rng(0).integers(0, 255, (30, 28, 3)).astype(np.uint8))
    path.with_name("new.png").rename(path)
    manifest, _ = prepare(reading, tmp_path / "out", MotionConfig())
    assert "1 of 2 micro clips have no view causalnet_fall: their image has 30x28 pixels" in manifest.notes


def test_a_copy_in_any_view_under_another_name_is_left_out(tmp_path):
    reading = read_corpus("smic", write_release(tmp_path / "two", added=(1,)))
    first, second = reading.clips
    second.paths[1].write_bytes(first.paths[1].read_bytes())
    manifest, _ = prepare(reading, tmp_path / "out", MotionConfig())
    (problem,) = manifest.problems
    assert problem.lost
    assert problem.where == second.clip
    assert problem.found == f"those of {first.clip}, byte for byte"


def test_macro_clips_have_the_views_of_micro_clips(tmp_path):
    micro = read_corpus("smic", write_release(tmp_path / "two", added=(1,)))
    clip = dataclasses.replace(moving_clip(tmp_path / "m", (0.0, 1.0, 2.0), emotion="happiness"), pool="macro")
    reading = Reading("flow_release+c", tmp_path, (*micro.clips, dataclasses.replace(clip, clip="ck_plus/s/m")))
    manifest, _ = prepare(reading, tmp_path / "out", dataclasses.replace(SMALL, image_side=28, flow_method="dis"))
    assert manifest.views == {SECOND: 3, FALL: 2}
    assert "the views of 1 macro clips are computed by dis, since no release has them" in manifest.notes
    assert "1 of 1 macro clips have no view causalnet_fall: their apex is the last frame" in manifest.notes
    macro = load_clips(tmp_path / "out").macro
    assert macro.has_view.tolist() == [[True, False]]


def test_a_view_that_no_micro_clip_has_is_refused_with_the_others(tmp_path):
    clips = [
        dataclasses.replace(moving_clip(tmp_path / name, (0.0, 1.0, 2.0), emotion=name), clip=f"smic/s1/{name}")
        for name in ("negative", "positive")
    ]
    clips[1].paths[0].write_bytes(clips[1].paths[1].read_bytes())
    reading = Reading("smic", tmp_path, tuple(clips))
    with pytest.raises(
        DataError, match=r"view dis_fall \(2 of 2 micro clips have .*last frame\); choose --views=dis_rise"
    ):
        prepare(reading, tmp_path / "out", with_views("dis_rise", "dis_fall"))


def test_a_clip_that_ends_at_its_apex_is_left_out_where_only_the_way_back_is_used(tmp_path):
    moves = {"negative": (0.0, 1.0, 2.0), "positive": (0.5, 2.0, 1.5)}
    clips = [
        dataclasses.replace(moving_clip(tmp_path / name, own, own.index(2.0), emotion=name), clip=f"smic/s1/{name}")
        for name, own in moves.items()
    ]
    manifest, _ = prepare(Reading("smic", tmp_path, tuple(clips)), tmp_path / "out", with_views("dis_fall"))
    (problem,) = manifest.problems
    assert (problem.where, problem.flag) == ("smic/s1/negative", KEEP_UNMOVED)
    assert (problem.expected, problem.found) == ("a frame after the apex, for dis_fall", "the apex in the last frame")
    assert manifest.origin == "megc2019, read by the layout smic; views: dis_fall"
