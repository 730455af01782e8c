"""Reading of ICT-FaceKit: parts of the head, random identities, and folders that are incomplete or damaged."""

import numpy as np
import pytest

from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic.face_geometry import NEUTRAL, neutral_file, read_geometry
from lightman_jax.data.synthetic.unit_shapes import SHAPES


def test_the_parts_and_landmarks_of_a_head(geometry):
    front = geometry.neutral[geometry.skin]
    assert set(geometry.shapes) == set(SHAPES)
    assert geometry.triangles.max() < len(geometry.neutral)
    assert not (geometry.skin & (geometry.eyes | geometry.socket)).any()
    assert (geometry.eyes | ~geometry.irises).all()
    right = geometry.eyes & (geometry.neutral[:, 0] < 0)
    assert right.sum() == geometry.eyes.sum() / 2
    points = geometry.neutral[geometry.landmarks]
    assert geometry.skin[geometry.landmarks].all()
    np.testing.assert_allclose(points[:17, 0], -points[16::-1, 0], atol=0.3)
    assert points[8, 1] < points[57, 1] < points[33, 1] < points[27, 1] < points[19, 1], "from the chin up"
    assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0], "eyes from left to right"
    assert points[30, 2] > np.percentile(front[:, 2], 90), "the tip of the nose is in front"


def test_random_identities_are_normal_about_the_mean_head(geometry):
    rng = np.random.default_rng(0)
    heads = np.stack([geometry.identity(rng)[geometry.landmarks] for _ in range(200)])
    own = geometry.identities[:, geometry.landmarks]
    spread = np.sqrt((own**2).sum(axis=0))
    np.testing.assert_allclose(heads.std(axis=0), spread, atol=0.15 * spread.max())
    np.testing.assert_allclose(heads.mean(axis=0), geometry.neutral[geometry.landmarks], atol=0.3 * spread.max())


def test_the_folder_as_cloned_and_the_folder_within_give_the_same_geometry_once(facekit):
    neutral = neutral_file(facekit)
    assert neutral == neutral_file(facekit / "FaceXModel") == facekit / "FaceXModel" / NEUTRAL
    assert read_geometry(neutral) is read_geometry(neutral)


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "a file", "the file within"])
def test_places_without_a_neutral_head_are_refused(what, facekit, tmp_path):
    places = {"nothing": tmp_path / "none", "an empty folder": tmp_path, "a file": tmp_path / "file"}
    (tmp_path / "file").write_text("")
    place = places.get(what, facekit / "FaceXModel" / NEUTRAL)
    with pytest.raises(
        DataError, match=r"has no FaceXModel/generic_neutral_mesh\.obj; give the folder of ICT-FaceKit as cloned"
    ):
        neutral_file(place)


def without(name):
    return lambda model: (model / name).unlink()


def instead(name, change):
    def damage(model):
        text = (model / name).read_text()
        (model / name).unlink()
        (model / name).write_text(change(text))

    return damage


def folder_instead(model):
    (model / "jawOpen.obj").unlink()
    (model / "jawOpen.obj").mkdir()


@pytest.mark.parametrize(
    ("damage", "answer"),
    [
        (without("mouthSmile_L.obj"), r"lacks the shapes mouthSmile_L; clone ICT-FaceKit again, with all files"),
        (lambda model: [path.unlink() for path in model.glob("brow*")], r"browDown_L, .* and 3 more; clone"),
        (lambda model: [path.unlink() for path in model.glob("identity*")], r"lacks the shapes identity000"),
        (folder_instead, r"lacks the shapes jawOpen"),
        (
            instead("jawOpen.obj", lambda text: text.replace("v ", "#", 1)),
            r"jawOpen\.obj has 26718 vertices, .* has 26719",
        ),
        (instead("jawOpen.obj", lambda text: text[: len(text) // 2]), r"jawOpen\.obj has \d+ vertices"),
        (
            instead("jawOpen.obj", lambda text: text.replace("v ", "v x", 1)),
            r"jawOpen\.obj is damaged .* clone ICT-FaceKit again",
        ),
        (instead("identity000.obj", lambda text: ""), r"identity000\.obj has 0 vertices"),
        (
            instead("jawOpen.obj", lambda text: "v nan nan nan\n" * 26719),
            r"jawOpen\.obj has coordinates that are not finite; clone",
        ),
        (
            lambda model: (model / "jawOpen.obj").unlink() or (model / "jawOpen.obj").symlink_to(model / NEUTRAL),
            r"is the neutral head",
        ),
        (instead(NEUTRAL, lambda text: text.replace("\nf ", "\n#f ")), r"no usable faces; clone ICT-FaceKit again"),
        (instead(NEUTRAL, lambda text: text + "f 1 2 99999\n"), r"no usable faces; clone ICT-FaceKit again"),
        (instead(NEUTRAL, lambda text: text + "f 1 2 x\n"), r"is damaged .*'x'.*; clone ICT-FaceKit again"),
        (instead(NEUTRAL, lambda text: text + "f 1 2 0\n"), r"no usable faces; clone ICT-FaceKit again"),
    ],
)
def test_incomplete_and_damaged_folders_say_what_to_do(damage, answer, facekit, tmp_path):
    model = tmp_path / "FaceXModel"
    model.mkdir()
    for path in (facekit / "FaceXModel").iterdir():
        (model / path.name).symlink_to(path)
    damage(model)
    with pytest.raises(DataError, match=answer):
        read_geometry(neutral_file(tmp_path))
