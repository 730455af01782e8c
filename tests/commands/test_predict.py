"""`experiments.predict` as a person uses it: films, folders, pictures, and what is none of these."""

import csv
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import demo, predict
from experiments.demo import DemoVideo, Moved, video_frames, write_video
from experiments.prediction.models import open_model
from lightman_jax.data.preparation.representation import MotionConfig, motion_of_faces
from lightman_jax.data.synthetic.faces import SimulatorConfig, subject_clips
from lightman_jax.data.vision.faces import crop_face
from lightman_jax.data.vision.images import write_image
from lightman_jax.data.vision.spotting import SpotConfig, search_movements
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.types import ClipSet
from tests.inputs import CLASSES

SMILE = DemoVideo("smile.avi", 50, 40, (Moved("positive", 12, 20, 29),))
LONG = DemoVideo("long.avi", 50, 160, (Moved("positive", 92, 100, 110),))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / SMILE.name, SMILE)
    write_video(folder / LONG.name, LONG)
    frames = list(video_frames(SMILE))
    (folder / "pictures").mkdir()
    for number in range(8, 33):
        write_image(folder / "pictures" / f"img{number}.png", frames[number - 1])
    write_image(folder / "onset.png", frames[11])
    write_image(folder / "apex.png", frames[19])
    write_image(folder / "small.png", frames[19][:100, :100])
    (folder / "empty.avi").write_bytes(b"")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "notes").mkdir()
    (folder / "notes" / "notes.txt").write_text("nothing to see")
    return folder


@pytest.fixture
def call(finished, videos, tmp_path, monkeypatch):
    def run(*words, model=finished[0] / "work"):
        monkeypatch.chdir(videos)
        monkeypatch.setattr(predict.jax.config, "update", lambda *_: None)
        return predict.main([*words, f"--model={model}", f"--out={tmp_path}"])

    return run


def rows(folder):
    with (folder / predict.TABLE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_film_is_predicted_by_all_networks_with_their_spread(call, finished, tmp_path, capsys):
    assert call("smile.avi") == 0
    (row,) = rows(tmp_path)
    assert (row["status"], row["reason"], row["frames"], row["rate"]) == ("predicted", "", "40", "50")
    assert abs(int(row["apex"]) - 20) <= 3
    model = open_model(finished[0] / "work")
    # 3 folds under 2 seeds.
    assert row["networks"] == "6"
    probabilities = [float(row[f"p_{name}"]) for name in model.classes]
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert row["prediction"] == model.classes[int(np.argmax(probabilities))]
    assert all(float(row[f"sd_{name}"]) >= 0 for name in model.classes)
    assert "released flow pictures" in row["notes"]
    assert row["stand_in"] == "false"
    assert (tmp_path / row["sheet"]).stat().st_size > 20_000
    said = capsys.readouterr().out
    assert "Not for judging" in said
    assert "smic" in said


def test_every_input_has_a_row_whatever_it_is(call, tmp_path, capsys):
    words = [
        "smile.avi",
        "pictures",
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
    assert list(found) == ["smile.avi", "pictures", ".", "empty.avi", "noise.mp4", "notes", "smil.avi", "", "/dev/null"]
    predicted = [name for name, row in found.items() if row["status"] == "predicted"]
    assert predicted == ["smile.avi", "pictures", "."]
    assert (found["."]["onset"], found["."]["apex"]) == ("1", "2")
    # The same movement: the pictures begin at the film's eighth frame.
    assert abs(int(found["smile.avi"]["apex"]) - int(found["pictures"]["apex"]) - 7) <= 2
    silent = [row for row in found.values() if row["status"] == "not predicted"]
    assert all(
        row["reason"] and not row["prediction"] and not row["p_positive"] and not row["agreement"] for row in silent
    )
    assert found["empty.avi"]["reason"] == "an empty file"
    assert "ffmpeg -i FILE" in found["noise.mp4"]["reason"]
    assert "Did you mean smile.avi?" in found["smil.avi"]["reason"]
    assert capsys.readouterr().out.count("nothing predicted") == len(silent)


def test_a_long_film_is_searched_and_gets_a_timeline(call, tmp_path):
    # As if it were longer: at 25 frames a second 160 of them are 6.4 s.
    assert call("long.avi") == 0
    (row,) = rows(tmp_path)
    assert abs(int(row["apex"]) - 100) <= 3
    (timeline,) = (tmp_path / "timelines").iterdir()
    assert timeline.stat().st_size > 10_000


def test_one_picture_and_pictures_of_other_sizes_are_no_movement(call, tmp_path):
    assert call("onset.png") == 1
    assert "a single picture has no movement" in rows(tmp_path)[0]["reason"]
    assert call("onset.png", "small.png") == 1
    assert "small.png has (100, 100) pixels, onset.png (480, 640); make them alike" in rows(tmp_path)[0]["reason"]


def test_frames_face_and_rate_may_be_named(call, tmp_path):
    assert call("smile.avi", "--onset=12", "--apex=20", "--face=104,218,194", "--rate=50") == 0
    (row,) = rows(tmp_path)
    assert (row["onset"], row["apex"], row["offset"], row["pixels"]) == ("12", "20", "20", "")
    assert row["face"] == "given at 104,218,194"
    assert call("smile.avi", "--onset=12", "--apex=99") == 1
    assert "there are 40 frames" in rows(tmp_path)[0]["reason"]


def test_labelled_clips_of_the_person_change_the_networks(call, videos, tmp_path, capsys):
    (videos / "person.csv").write_text("path,label,onset,apex\nsmile.avi,positive,,\nsmile.avi,positive,12,20\n")
    call("smile.avi")
    before = float(rows(tmp_path)[0]["p_positive"])
    assert call("smile.avi", "--support=person.csv", "--adapt_steps=20") == 0
    (row,) = rows(tmp_path)
    assert row["adapted"] == "2"
    assert float(row["p_positive"]) > before
    assert "labelled: smile.avi as positive, frames 12-20-20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("path,label\nsmile.avi,postive\n", "label 'postive' is unknown.*Did you mean positive"),
        ("path,label\nempty.avi,positive\n", "line 2: empty.avi: an empty file. Mend or remove that row"),
        ("path,label,onset,apex\nsmile.avi,positive,3,x\n", "line 2: smile.avi: .*invalid literal"),
        ("path,label,onset\nsmile.avi,positive,3\n", "line 2: smile.avi: give both --onset=N and --apex=N"),
        ("film,class\nsmile.avi,positive\n", "needs the columns path and label"),
        ("", "needs the columns path and label"),
    ],
)
def test_labelled_clips_that_cannot_be_used_are_named(call, videos, capsys, table, said):
    (videos / "bad.csv").write_text(table)
    assert call("smile.avi", "--support=bad.csv") == 2
    assert re.search(said, capsys.readouterr().err)


def test_names_of_strangers_stay_names(call, videos, tmp_path, capsys):
    wild = ["=cmd|'calc'!A1.avi", "[bold]grün 空白[-].avi", "a;b\tc.avi"]
    for name in wild:
        shutil.copy(videos / SMILE.name, videos / name)
    try:
        assert call(*wild) == 0
    finally:
        for name in wild:
            (videos / name).unlink()
    assert [row["input"] for row in rows(tmp_path)] == [f"'{wild[0]}", *wild[1:]]
    assert all((tmp_path / row["sheet"]).parent == tmp_path / "sheets" for row in rows(tmp_path))
    assert "[bold]grün" in capsys.readouterr().out


def test_the_films_of_the_demonstration_say_what_is_true_of_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "FILMS", (SMILE,))
    assert demo.main([f"--out={tmp_path}"]) == 0
    assert (tmp_path / "truth.csv").read_text().splitlines()[1] == "smile.avi,positive,12,20,29"
    assert (tmp_path / "support.csv").read_text().splitlines() == ["path,label", "smile.avi,positive"]
    assert "python -m experiments.predict" in capsys.readouterr().out


def test_networks_that_learned_from_invented_faces_tell_the_films_of_the_demonstration():
    settings = SimulatorConfig(subjects=8, micro_clips=2, macro_clips=0)
    motion = MotionConfig()
    clips = [(number, clip) for number in range(8) for clip in subject_clips(number, settings)]
    images = [
        motion_of_faces([crop_face(f, None, motion.face_side) for f in c.frames], c.apex, motion) for _, c in clips
    ]
    subject = tuple(f"smic/s{number}" for number, _ in clips)
    label = np.array([CLASSES.index(clip.label) for _, clip in clips], np.int32)
    names = tuple(f"{person}/c{row:03d}" for row, person in enumerate(subject))
    pool = ClipSet(np.stack(images), label, subject, names, CLASSES)
    config = TrainConfig()
    trained = train_folds(pool, None, leave_one_subject_out(subject)[:2], [0], config)
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *[one.params for one in trained])
    predict_all = jax.jit(ensemble_programs(config).predict)
    for video in demo.VIDEOS[:3]:
        (one,) = search_movements(video_frames(video), video.rate, SpotConfig()).movements
        image = motion_of_faces(one.faces, one.apex - one.onset, motion)
        said = np.asarray(predict_all(Ensemble(params, jnp.ones((2, 1, 1, 1, 3))), jnp.asarray(image[None])))
        assert CLASSES[int(said.mean(axis=0)[0].argmax())] == video.moved[0].label
