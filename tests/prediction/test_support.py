"""Labelled clips for adaptation: the table of `--support` has the format of `clips.csv`."""

import numpy as np
import pytest

from experiments.cli.flags import ConfigError
from experiments.demo import DemoVideo, Movement, write_video
from experiments.prediction.movements import Settings, find_movements, model_image, read_support
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.vision.faces import FaceBox
from lightman_jax.data.vision.images import write_image
from lightman_jax.data.vision.spotting import SpotConfig
from lightman_jax.data.vision.video import find_videos, read_frames
from tests.inputs import CLASSES

SMILE = DemoVideo("smile.avi", 50, 40, (Movement("positive", 12, 20, 29),))
BOX = (104, 218, 194)
SETTINGS = Settings(SpotConfig())


class StubModel:
    classes = CLASSES
    adapts = True

    def __init__(self, apex_policy="given"):
        self.about = {"motion": {"apex_policy": apex_policy}, "method": "lightman"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("support")
    write_video(folder / SMILE.name, SMILE)
    (folder / "images").mkdir()
    (video,) = find_videos([str(folder / SMILE.name)])
    for number, frame in enumerate(read_frames(video), start=1):
        if number >= 8:
            write_image(folder / "images" / f"img{number}.png", frame)
    return folder


def read(folder, text, model=None):
    (folder / "support.csv").write_text(text)
    return read_support(folder / "support.csv", model or StubModel(), SETTINGS)


def expected(folder, name, span):
    (video,) = find_videos([str(folder / name)])
    settings = SETTINGS._replace(box=FaceBox(*BOX, "given"), span=span)
    return model_image(StubModel(), find_movements(video, settings).movements[0])


def test_the_columns_of_a_user_table_are_read_under_all_their_spellings(folder):
    table = (
        "Filename;Subject;Emotion;Path;Onset;Apex;Offset;FPS;Box\n"
        "c1;p1;positive;smile.avi;12;20;29;50;104 218 194\n"
        "c2;p1;positive;images;12;20;29;50;104 218 194\n"
    )
    support = read(folder, table)
    # The frame numbers of a folder are those in the names of its images, which begin at 8.
    assert [line.split(", frames ")[1] for line in support.lines] == ["12-20-29", "5-13-22"]
    assert support.label.tolist() == [CLASSES.index("positive")] * 2
    np.testing.assert_array_equal(support.images[0], expected(folder, "smile.avi", (12, 20, 29)))
    np.testing.assert_array_equal(support.images[1], expected(folder, "images", (5, 13, 22)))
    # The same table is a corpus to train on.
    (folder / "support.csv").rename(folder / "clips.csv")
    reading = read_corpus("table", folder)
    (folder / "clips.csv").unlink()
    assert reading.problems == ()
    assert [clip.numbers[clip.apex] for clip in reading.clips] == [20, 20]


@pytest.mark.parametrize(("policy", "apex"), [("given", 20), ("spot", 20)])
def test_a_missing_apex_follows_the_policy_of_the_model(folder, policy, apex):
    support = read(folder, "path,label,onset,offset,box\nsmile.avi,positive,12,29,104 218 194\n", StubModel(policy))
    found = int(support.lines[0].split("-")[1])
    assert abs(found - apex) <= (0 if policy == "given" else 3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("path,label,fps\nsmile.avi,positive,fast\n", "line 2: smile.avi: fps is 'fast'"),
        ("path,label,box\nsmile.avi,positive,1 2\n", "line 2: smile.avi: box is '1 2'"),
        (
            "path,label,onset\nsmile.avi,positive,3\n",
            "give the onset and the apex or offset, or leave all three cells empty",
        ),
        ("path,label,onset,apex\nimages,positive,3,20\n", "the images are numbered 8 to 40"),
        ("path,label\n,positive\n", "line 2: : the path is missing"),
        ("path,label\n", "has no rows; --support needs the columns path and label"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(folder, row, message):
    with pytest.raises(ConfigError, match=message):
        read(folder, row)
