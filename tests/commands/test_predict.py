"""`experiments.predict` on videos, folders, images and unusable inputs; `experiments.demo`."""

import csv
import functools
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import demo, predict
from experiments.cli.runtime import DEFAULT_DATA_CACHE
from experiments.cli.terminal import make_console
from experiments.demo import DemoVideo, Movement, video_frames, write_video
from experiments.prediction.models import open_model
from experiments.prediction.movements import Settings, movement_image
from experiments.prediction.table import print_table
from lightman_jax.data.preparation.representation import MotionConfig, motion_of_faces
from lightman_jax.data.synthetic.faces import SimulatorConfig, subject_clips
from lightman_jax.data.vision.faces import crop_face
from lightman_jax.data.vision.images import write_image
from lightman_jax.data.vision.spotting import SpotConfig, search_movements
from lightman_jax.data.vision.video import TimedFrame
from lightman_jax.model import DEFAULT_MODEL
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.model.export import flat_programs
from lightman_jax.model.saved_model import Model
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.types import ClipSet
from tests.inputs import CLASSES, untrained

SMILE = DemoVideo("smile.avi", 50, 40, (Movement("positive", 12, 20, 29),))
LONG = DemoVideo("long.avi", 50, 160, (Movement("positive", 92, 100, 110),))
SHORT = DemoVideo("short.avi", 50, 14, (Movement("positive", 3, 7, 12),))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / SMILE.name, SMILE)
    write_video(folder / LONG.name, LONG)
    write_video(folder / SHORT.name, SHORT)
    frames = list(video_frames(SMILE))
    (folder / "images").mkdir()
    for number in range(8, 33):
        write_image(folder / "images" / f"img{number}.png", frames[number - 1])
    write_image(folder / "onset.png", frames[11])
    write_image(folder / "apex.png", frames[19])
    write_image(folder / "small.png", frames[19][:100, :100])
    (folder / "empty.avi").write_bytes(b"")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "notes").mkdir()
    (folder / "notes" / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def opened():
    """`open_model` that opens and compiles each model once."""
    return functools.cache(open_model)


@pytest.fixture
def call(finished, videos, opened, tmp_path, monkeypatch):
    def run(*words, model=finished[0] / "work"):
        monkeypatch.chdir(videos)
        monkeypatch.setattr(predict, "set_up_jax", lambda data_cache: None)
        monkeypatch.setattr(predict, "open_model", opened)
        return predict.main([*words, f"--model={model}", f"--out={tmp_path}"])

    return run


def rows(folder):
    with (folder / predict.TABLE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_video_is_predicted_by_all_networks_with_their_spread(call, opened, finished, tmp_path, capsys):
    assert call("smile.avi") == 0
    (row,) = rows(tmp_path)
    assert (row["status"], row["reason"], row["frames"], row["fps"]) == ("predicted", "", "40", "50")
    assert abs(int(row["apex"]) - 20) <= 3
    model = opened(finished[0] / "work", None)
    # 3 folds under 2 seeds.
    assert row["networks"] == "6"
    probabilities = [float(row[f"p_{name}"]) for name in model.classes]
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert row["prediction"] == model.classes[int(np.argmax(probabilities))]
    assert all(float(row[f"sd_{name}"]) >= 0 for name in model.classes)
    assert "released flow images" in row["notes"]
    assert row["stand_in"] == "false"
    assert (tmp_path / row["figure"]).stat().st_size > 20_000
    printed = capsys.readouterr().out
    assert "Not for judging" in printed
    assert "smic" in printed


def test_every_input_has_a_row(call, tmp_path, capsys):
    words = [
        "smile.avi",
        "images",
        "onset.png",
        "apex.png",
        "empty.avi",
        "noise.mp4",
        "notes",
        "smil.avi",
        "",
        "/dev/null",
    ]
    assert call(*words) == 1
    found = {row["input"]: row for row in rows(tmp_path)}
    assert list(found) == ["smile.avi", "images", ".", "empty.avi", "noise.mp4", "notes", "smil.avi", "", "/dev/null"]
    predicted = [name for name, row in found.items() if row["status"] == "predicted"]
    assert predicted == ["smile.avi", "images", "."]
    assert (found["."]["onset"], found["."]["apex"]) == ("1", "2")
    # The same movement: the images begin at the eighth frame of the video.
    assert abs(int(found["smile.avi"]["apex"]) - int(found["images"]["apex"]) - 7) <= 2
    rest = [row for row in found.values() if row["status"] == "not predicted"]
    assert all(
        row["reason"] and not row["prediction"] and not row["p_positive"] and not row["agreement"] for row in rest
    )
    assert found["empty.avi"]["reason"] == "an empty file"
    assert "ffmpeg -i FILE" in found["noise.mp4"]["reason"]
    assert "Did you mean smile.avi?" in found["smil.avi"]["reason"]
    assert capsys.readouterr().out.count("not predicted") == len(rest)


def test_a_long_video_is_searched_and_gets_a_timeline(call, tmp_path):
    assert call("long.avi") == 0
    (row,) = rows(tmp_path)
    assert abs(int(row["apex"]) - 100) <= 3
    (timeline,) = (tmp_path / "timelines").iterdir()
    assert timeline.stat().st_size > 10_000


def test_one_image_and_images_of_different_sizes_are_not_predicted(call, tmp_path):
    assert call("onset.png") == 1
    assert "a single image has no movement" in rows(tmp_path)[0]["reason"]
    assert call("onset.png", "small.png") == 1
    assert (
        "small.png has (100, 100) pixels, onset.png (480, 640); give all images of a video the same size"
        in rows(tmp_path)[0]["reason"]
    )


def test_frames_face_and_fps_can_be_given(call, tmp_path):
    assert call("smile.avi", "--onset=12", "--apex=20", "--face=104,218,194", "--fps=50") == 0
    (row,) = rows(tmp_path)
    assert (row["onset"], row["apex"], row["offset"], row["pixels"]) == ("12", "20", "20", "")
    assert row["face"] == "given at 104,218,194"
    assert call("smile.avi", "--onset=12", "--apex=99") == 1
    assert "the video has 40 frames" in rows(tmp_path)[0]["reason"]


def test_labelled_clips_of_the_subject_adapt_the_networks(call, videos, tmp_path, capsys):
    (videos / "subject.csv").write_text("path,label,onset,apex\nsmile.avi,positive,,\nsmile.avi,positive,12,20\n")
    call("smile.avi")
    before = float(rows(tmp_path)[0]["p_positive"])
    assert call("smile.avi", "--support=subject.csv", "--adapt_steps=20") == 0
    (row,) = rows(tmp_path)
    assert row["adapted"] == "2"
    assert float(row["p_positive"]) > before
    assert "labelled: smile.avi as positive, frames 12-20-20" in capsys.readouterr().out


def test_a_model_of_several_views_computes_them_and_names_those_it_used(videos, tmp_path, capsys):
    views = ("farneback_rise", "dis_rise", "farneback_fall")
    config = TrainConfig(network=NetworkConfig(width=8, embedding=4, views=3))
    motion = vars(MotionConfig(views=",".join(views), image_side=8))
    ensemble, card = untrained(config, views, 8, motion=motion, origin="smic")
    model = Model(card.to_json(), jax.tree.leaves(ensemble), flat_programs(ensemble_programs(config), ensemble))
    (videos / "subject.csv").write_text("path,label,onset,apex,offset\nsmile.avi,positive,12,20,\n")
    console = make_console()
    used = []
    for span, support in (((12, 20, 29), None), ((12, 20, 20), videos / "subject.csv")):
        settings = Settings(SpotConfig(), span=span)
        found = predict.predict_videos(model, [str(videos / "smile.avi")], settings, tmp_path, console, support)
        print_table(console, found, model)
        (row,) = rows(tmp_path)
        used.append((row["views"].split(), row["notes"], row["adapted"]))
    missing = "no frame after the apex, so without farneback_fall"
    assert used == [(list(views), "", "0"), (list(views[:2]), missing, "1")]
    printed = capsys.readouterr().out
    assert f"frames 12-20-20; {missing}" in printed.replace("\n", " ")
    assert "3 of 3" in printed
    assert "2 of 3" in printed


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label\nsmile.avi,postive\n", "label 'postive' is unknown.*Did you mean positive"),
        ("path,label\nempty.avi,positive\n", "line 2: empty.avi: an empty file. Correct or remove that row"),
        ("path,label,onset,apex\nsmile.avi,positive,3,x\n", "line 2: smile.avi: apex is 'x', not? a?.*number"),
        ("path,label,onset\nsmile.avi,positive,3\n", "line 2: smile.avi: give the onset and the apex or offset"),
        ("film,class\nsmile.avi,positive\n", "needs a table with the columns path and label"),
        ("", "needs a table with the columns path and label"),
    ],
)
def test_unusable_labelled_clips_are_refused(call, videos, capsys, table, message):
    (videos / "bad.csv").write_text(table)
    assert call("smile.avi", "--support=bad.csv") == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_data_cache_of_the_run_holds_the_compiled_programs(finished, videos, tmp_path, monkeypatch):
    used = []
    monkeypatch.chdir(videos)
    monkeypatch.setattr(predict, "set_up_jax", used.append)
    for model in (finished[0] / "work", tmp_path / "a_file"):
        predict.main(["onset.png", f"--model={model}", f"--out={tmp_path}"])
    assert used == [str(finished[0] / "shards"), DEFAULT_DATA_CACHE]


def test_special_characters_in_file_names_are_escaped(call, videos, tmp_path, capsys):
    names = ["=cmd|'calc'!A1.avi", "[bold]grün 空白[-].avi", "a;b\tc.avi"]
    for name in names:
        shutil.copy(videos / SHORT.name, videos / name)
    try:
        assert call(*names) == 0
    finally:
        for name in names:
            (videos / name).unlink()
    assert [row["input"] for row in rows(tmp_path)] == [f"'{names[0]}", *names[1:]]
    assert all((tmp_path / row["figure"]).parent == tmp_path / "figures" for row in rows(tmp_path))
    assert "[bold]grün" in capsys.readouterr().out


def test_the_demo_writes_videos_and_their_true_movements(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "VIDEOS", (SMILE,))
    assert demo.main([f"--out={tmp_path}"]) == 0
    truth = (tmp_path / "truth.csv").read_text().splitlines()
    assert truth == ["video,label,onset,apex,offset", "smile.avi,positive,12,20,29"]
    assert (tmp_path / "support.csv").read_text().splitlines() == ["path,label", "smile.avi,positive"]
    assert "python -m experiments.predict" in capsys.readouterr().out


def test_the_default_model_predicts_the_demo_which_is_written_if_it_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "VIDEOS", (SMILE,))
    monkeypatch.setattr(predict, "set_up_jax", lambda data_cache: None)
    assert predict.main(["demo"]) == 0
    (row,) = rows(tmp_path / "predictions")
    assert (row["prediction"], row["stand_in"]) == ("positive", "false")
    assert "no face was recorded" in row["trained_on"]
    assert re.match(r"UF1 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] and UAR .* on \d+ clips", row["measured"])
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.index("there is no demo: writing") < printed.index("TRAINED ON SIMULATED CLIPS")
    assert f"measured on real clips: {row['measured']}" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "predictions"]
    (tmp_path / "demo" / SMILE.name).unlink()
    assert predict.main(["demo"]) == 1
    assert "writing" not in capsys.readouterr().out


def test_the_default_model_adapts_to_labelled_clips(call, videos, tmp_path):
    (videos / "one.csv").write_text("path,label,onset,apex\nsmile.avi,positive,12,20\n")
    assert call("smile.avi", "--onset=12", "--apex=20", "--support=one.csv", model=DEFAULT_MODEL) == 0
    (row,) = rows(tmp_path)
    assert (row["prediction"], row["adapted"]) == ("positive", "1")


def test_the_default_model_and_networks_trained_on_the_stand_in_classify_the_demo_videos():
    settings = SimulatorConfig(subjects=8, micro_clips=2, macro_clips=0)
    motion = MotionConfig()
    clips = [(number, clip) for number in range(8) for clip in subject_clips(number, settings)]
    images = [
        motion_of_faces([crop_face(f, None, motion.face_side) for f in c.frames], c.apex, motion) for _, c in clips
    ]
    subject = tuple(f"smic/s{number}" for number, _ in clips)
    label = np.array([CLASSES.index(clip.label) for _, clip in clips], np.int32)
    names = tuple(f"{name}/c{row:03d}" for row, name in enumerate(subject))
    pool = ClipSet(np.stack(images), label, subject, names, CLASSES)
    config = TrainConfig(steps=30)
    trained = train_folds(pool, None, leave_one_subject_out(subject)[:2], [0], config)
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *[one.params for one in trained])
    predict_all, default = jax.jit(ensemble_programs(config).predict), open_model(DEFAULT_MODEL)
    for video in demo.VIDEOS[:3]:
        frames = (TimedFrame(frame, place / video.fps) for place, frame in enumerate(video_frames(video)))
        (found,) = search_movements(frames, video.fps, SpotConfig()).movements
        image = movement_image(found, motion)
        probabilities = np.asarray(predict_all(Ensemble(params, jnp.ones((2, 1, 1, 1, 3))), jnp.asarray(image[None])))
        for predicted in (probabilities, default.predict(image[None])):
            assert CLASSES[int(predicted.mean(axis=0)[0].argmax())] == video.movements[0].label
