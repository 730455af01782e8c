"""The corpus `simulated_au`: reproducible clips of every representation, from which real clips can be recognised."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from experiments.claims import simulated_training, subjects
from experiments.claims.transfer import classes, rows_by_corpus, svm_decisions
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.data.preparation.views import view_of
from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic import simulated_au
from lightman_jax.data.synthetic.face_geometry import neutral_file
from lightman_jax.data.synthetic.measured_expressions import (
    OWN_CROP,
    RELEASED_CROPS,
    Crop,
    MeasuredVariation,
    exact_field,
    vertices_at,
)
from lightman_jax.data.synthetic.simulated_au import (
    SimulatedAUConfig,
    estimated_flow,
    simulated_au_reading,
    simulated_faces,
    simulated_field,
    simulated_flow,
)
from lightman_jax.data.vision.optical_flow import FLOW_METHODS

SMALL = SimulatedAUConfig(subjects=3, micro_clips=4, macro_clips=2)
NO_ERRORS = MeasuredVariation(blur=0.0, noise=0.0, drift=0.0)
SAME_CROP = dataclasses.replace(NO_ERRORS, shift=0.0, size=0.0)


@pytest.fixture
def measured(facekit):
    """Clips of two subjects by measured geometry."""
    config = SimulatedAUConfig(subjects=2, micro_clips=2, macro_clips=2, geometry=neutral_file(facekit))
    return simulated_au_reading(config).clips


def test_the_same_seed_gives_the_same_clips_and_macro_clips_move_further():
    one, two = simulated_au_reading(SMALL), simulated_au_reading(SMALL)
    assert one == two
    assert len({(clip.pool, clip.clip) for clip in one.clips}) == len(one.clips) == 3 * 3 * 6
    np.testing.assert_array_equal(simulated_field(one.clips[0], 28), simulated_field(two.clips[0], 28))
    other = simulated_au_reading(dataclasses.replace(SMALL, seed=1))
    assert np.abs(simulated_field(one.clips[0], 28) - simulated_field(other.clips[0], 28)).max() > 0
    size = {
        pool: np.mean([np.abs(simulated_field(clip, 28)).mean() for clip in one.clips if clip.pool == pool])
        for pool in ("micro", "macro")
    }
    assert size["macro"] > 3 * size["micro"]


@pytest.mark.parametrize("representation", ["flow", "difference", "apex", "dynamic", "frames"])
@pytest.mark.parametrize("side", [20, 28])
@pytest.mark.parametrize("source", ["patches", "geometry"])
def test_every_representation_and_size_can_be_computed(representation, side, source, measured):
    clip = measured[-1] if source == "geometry" else simulated_au_reading(SMALL).clips[-1]
    config = MotionConfig(representation=representation, image_side=side, face_side=64, frame_count=4)
    image = motion_image(clip, config).image
    channels = 3 if representation == "flow" else 1
    assert image.shape == ((4, side, side, 1) if representation == "frames" else (side, side, channels))
    assert np.isfinite(image).all()
    assert image.min() < image.max()


def test_measured_clips_are_reproducible_and_a_subject_has_one_head(measured, facekit):
    again = simulated_au_reading(
        SimulatedAUConfig(subjects=2, micro_clips=2, macro_clips=2, geometry=neutral_file(facekit))
    )
    assert again.clips == measured
    assert again.root == facekit / "FaceXModel"
    assert "measured face geometry of ICT-FaceKit (MIT licence)" in again.notes[0]
    flow = lambda clip: simulated_flow(clip, 32, 16)  # noqa: E731
    np.testing.assert_array_equal(flow(measured[3]), flow(again.clips[3]))
    assert np.abs(flow(measured[3]) - flow(measured[2])).max() > 0
    rests = [simulated_au._measured_head(clip, NO_ERRORS).rest for clip in measured]
    subjects_ = [clip.subject for clip in measured]
    for rest, subject in zip(rests, subjects_, strict=True):
        np.testing.assert_array_equal(rest, rests[subjects_.index(subject)])
    assert np.abs(rests[0] - rests[-1]).max() > 0.1
    other = simulated_au_reading(
        SimulatedAUConfig(subjects=1, micro_clips=1, macro_clips=0, seed=1, geometry=neutral_file(facekit))
    ).clips[0]
    assert np.abs(simulated_au._measured_head(other, NO_ERRORS).rest - rests[0]).max() > 0.1


def test_macro_clips_of_measured_heads_move_further(measured):
    still = dataclasses.replace(NO_ERRORS, rotation=0.0, nearer=0.0)
    reaches = {"micro": [], "macro": []}
    for clip in measured:
        flow = simulated_flow(clip, 56, 56, variation=still)
        reaches[clip.pool].append(np.percentile(np.linalg.norm(flow[..., :2], axis=-1), 99) * 128 / 56)
    assert np.median(reaches["macro"]) > 2 * np.median(reaches["micro"])
    assert max(reaches["micro"]) < 5
    assert max(reaches["macro"]) < 30


def test_a_fall_leads_from_the_apex_to_the_offset(measured):
    for clip in measured[:8:3]:
        head = simulated_au._measured_head(clip, SAME_CROP)
        apex, offset = (vertices_at(head.geometry, head.rest, one) for one in head.expression)
        for leg, first, second in (("rise", head.rest, apex), ("fall", apex, offset)):
            found = simulated_flow(clip, 40, 40, ("dis", leg), variation=SAME_CROP)
            np.testing.assert_allclose(
                found[..., :2], exact_field(head.geometry, first, second, OWN_CROP, 40), atol=1e-5
            )
        rise, fall = (
            simulated_flow(clip, 40, 40, ("dis", leg), variation=SAME_CROP)[..., :2] for leg in ("rise", "fall")
        )
        assert np.abs(rise + fall).max() > 0, "the offset is not the onset"


def test_views_of_a_release_have_its_crop_and_both_legs_of_an_extraction_share_one(measured):
    clip, crops = measured[-1], {}
    for name in ("megc2019_rise", "causalnet_rise", "causalnet_fall", "farneback_rise"):
        view = view_of(name)
        own = simulated_flow(clip, 40, 40, view, variation=SAME_CROP)
        crops[name] = RELEASED_CROPS.get(view.extraction, OWN_CROP)
        np.testing.assert_array_equal(own, simulated_flow(clip, 40, 40, view, variation=SAME_CROP, crop=crops[name]))
    small, large = (
        simulated_flow(clip, 40, 40, crop=Crop(0.0, 0.0, half, half), variation=SAME_CROP) for half in (6.0, 12.0)
    )
    assert np.abs(small[..., :2]).max() > 1.5 * np.abs(large[..., :2]).max(), (
        "the same face is larger in a smaller crop"
    )
    twice = simulated_flow(clip, 40, 40, magnify=2.0, variation=SAME_CROP)
    np.testing.assert_allclose(twice, 2 * simulated_flow(clip, 40, 40, variation=SAME_CROP), atol=1e-5)
    computed = [simulated_flow(clip, 40, 40, view_of(f"{name}_rise"), variation=NO_ERRORS) for name in FLOW_METHODS]
    for other in computed[1:]:
        np.testing.assert_array_equal(other, computed[0])
    views = MotionConfig(views="megc2019_rise,causalnet_fall,dis_rise", face_side=40)
    assert motion_image(clip, views).image.shape == (3, 28, 28, 3)


def test_errors_differ_between_views_and_are_those_of_the_variation(measured):
    clip = measured[0]
    one, other = (simulated_flow(clip, 56, 56, (name, "rise")) for name in ("farneback", "dis"))
    exact = simulated_flow(
        clip, 56, 56, ("dis", "rise"), variation=dataclasses.replace(NO_ERRORS, blur=MeasuredVariation.blur)
    )
    errors = (other - exact)[..., :2]
    expected = np.hypot(MeasuredVariation.noise, MeasuredVariation.drift) * 56 / 128
    assert 0.5 * expected < errors.std() < 1.5 * expected
    assert np.abs(one - other).max() > 0.1


def test_estimated_flow_is_near_the_exact_flow_and_the_frames_are_rendered_once(measured, monkeypatch):
    clip = next(clip for clip in measured if clip.pool == "macro" and clip.emotion == "surprise")
    rendered = []
    original = simulated_au.render
    monkeypatch.setattr(simulated_au, "render", lambda *given: rendered.append(given) or original(*given))
    simulated_au._rendered_ends.cache_clear()
    variation = dataclasses.replace(SAME_CROP, noise=0.01)
    exact = simulated_flow(clip, 128, 28, ("dis", "rise"), variation=SAME_CROP)
    estimated = [estimated_flow(clip, 128, 28, ("dis", "rise"), name, variation) for name in ("farneback", "dis")]
    assert len(rendered) == 2
    for flow in estimated:
        assert flow.shape == (28, 28, 3)
        assert np.corrcoef(flow[4:-4, 4:-4, 1].ravel(), exact[4:-4, 4:-4, 1].ravel())[0, 1] > 0.6


def test_rendered_frames_go_from_rest_over_the_apex_to_the_offset(measured):
    clip = measured[-1]
    frames = np.stack([image.astype(float) for image in simulated_faces(clip, 64, 9)])
    assert frames.shape == (9, 64, 64)
    change = np.abs(frames - frames[0]).mean(axis=(1, 2))
    assert change[:5].argmax() == 4
    assert change[4] > change[1]


def test_geometry_that_cannot_be_read_is_refused_when_the_corpus_is_read(facekit, tmp_path):
    (tmp_path / neutral_file(facekit).name).write_bytes(neutral_file(facekit).read_bytes())
    with pytest.raises(DataError, match="lacks the shapes"):
        simulated_au_reading(SimulatedAUConfig(geometry=neutral_file(tmp_path)))


def test_the_flow_of_a_clip_is_its_exact_field():
    clip = next(c for c in simulated_au_reading(SMALL).clips if c.pool == "macro" and c.emotion == "surprise")
    config = MotionConfig(face_side=128, image_side=128)
    true = motion_image(clip, config).image
    rendered = dataclasses.replace(config, representation="difference")
    assert np.abs(motion_image(clip, rendered).image).max() > 0.05 * 255
    # Stored in 16 bits.
    np.testing.assert_allclose(true[..., :2], simulated_field(clip, 128), rtol=5e-4, atol=1e-5)


@pytest.mark.skipif(
    not os.environ.get("LIGHTMAN_FLOW"), reason="LIGHTMAN_FLOW is not set to a folder of the real flow release"
)
def test_a_classical_baseline_trained_on_simulated_expressions_recognises_real_ones():
    real = subjects.read_flow_release(Path(os.environ["LIGHTMAN_FLOW"]))
    micro, _, _ = simulated_training.simulate(0)
    guess = classes(svm_decisions(micro.image[::2], micro.label[::2], real.image))
    row = next(rows_by_corpus("", "", real, [guess]))
    assert row.uf1[0] > 0.62


@pytest.mark.slow
@pytest.mark.skipif(
    not (os.environ.get("LIGHTMAN_FLOW") and os.environ.get("LIGHTMAN_GEOMETRY")),
    reason="LIGHTMAN_FLOW and LIGHTMAN_GEOMETRY are not set to folders of the real flow release and of ICT-FaceKit",
)
def test_a_classical_baseline_trained_on_measured_heads_recognises_real_clips():
    real = subjects.read_flow_release(Path(os.environ["LIGHTMAN_FLOW"]))
    geometry = neutral_file(Path(os.environ["LIGHTMAN_GEOMETRY"]))
    clips = simulated_au_reading(SimulatedAUConfig(subjects=20, micro_clips=5, macro_clips=0, geometry=geometry)).clips
    images = np.stack([simulated_flow(clip, 56, 28, ("megc2019", "rise")) for clip in clips])
    labels = np.array([real.classes.index(clip.emotion) for clip in clips], np.int32)
    row = next(rows_by_corpus("", "", real, [classes(svm_decisions(images, labels, real.image))]))
    assert row.uf1[0] > 0.66
