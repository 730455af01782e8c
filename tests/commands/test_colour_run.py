"""A run on colour images of stand-in clips, with augmentation: the run, its export and the frames of a video predict the same."""

import csv

import numpy as np
import pytest

from experiments import export, run
from experiments.evaluation import data
from experiments.prediction.models import open_model
from experiments.prediction.movements import Settings, find_movements, model_image
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.preparation.load import load_clips
from lightman_jax.data.synthetic.faces import SimulatorConfig
from lightman_jax.data.vision.apex import middle_apex
from lightman_jax.data.vision.faces import WHOLE
from lightman_jax.data.vision.spotting import SpotConfig
from lightman_jax.data.vision.video import find_videos
from tests.inputs import TINY_RUN

pytestmark = pytest.mark.slow

IMAGES = ["--representation=apex", "--colour=rgb", "--image_side=40", "--scaling=imagenet"]
CHANGES = ["--shift=0.1", "--rotation=10", "--zoom=0.1", "--brightness=0.1", "--contrast=0.2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colour")
    words = ["--dataset=smic", "--macro=ck_plus", *IMAGES, *CHANGES, *TINY_RUN, "--seeds=1", "--baselines=majority"]
    patch = pytest.MonkeyPatch()
    patch.setattr(run, "set_up_jax", lambda *_, **__: None)
    patch.setattr(
        data, "stand_in_config", lambda _: SimulatorConfig(subjects=2, micro_clips=1, macro_clips=1, frames=5)
    )
    assert run.main([*words, f"--data_cache={folder / 'cache'}", f"--workdir={folder / 'work'}"]) == 0
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def prepared(folder):
    return load_clips(next(path.parent for path in (folder / "cache").glob("*/manifest.json")))


def test_images_are_stored_as_bytes_of_three_colours(prepared):
    for clips in (prepared.micro, prepared.macro):
        assert (clips.image.dtype, clips.image.shape[1:]) == (np.uint8, (40, 40, 3))
        red, green, blue = np.asarray(clips.image, float).mean(axis=(0, 1, 2))
        assert red > green + 10 > blue + 20, "skin is reddish"


def test_the_run_its_export_and_the_frames_of_a_clip_predict_the_same(folder, prepared):
    assert export.main([str(folder / "work"), f"--out={folder / 'model.lightman'}"]) == 0
    here, exported = (open_model(folder / name) for name in ("work", "model.lightman"))
    assert (here.about["channels"], exported.about["channels"]) == ("rgb", "rgb")
    micro = prepared.micro
    probabilities = exported.predict(micro.image)
    np.testing.assert_allclose(here.predict(micro.image), probabilities, atol=1e-6)
    with (folder / "work" / "predictions.csv").open() as file:
        rows = {row["clip"]: [float(row[f"p_{name}"]) for name in micro.classes] for row in csv.DictReader(file)}
    own = [probabilities[exported.about["folds"].index(name), row] for row, name in enumerate(micro.subject)]
    np.testing.assert_allclose(own, [rows[name] for name in micro.clip], atol=1e-5)
    # From the frames of the first clip.
    (clips,) = (folder / "cache").glob("smic_stand_in-clips-*")
    raw = next(clip for clip in read_corpus("smic", clips).clips if clip.pool == "micro")
    assert raw.clip.partition("/")[2] == micro.clip[0].partition("/")[2]
    (video,) = find_videos([str(raw.paths[0].parent)])
    span = (1, middle_apex(5) + 1, 5)
    (movement,) = find_movements(video, Settings(SpotConfig(), WHOLE, span=span)).movements
    image = model_image(exported, movement)
    np.testing.assert_array_equal(image, micro.image[0])
    np.testing.assert_allclose(exported.predict(image[None])[:, 0], probabilities[:, 0], atol=1e-6)
