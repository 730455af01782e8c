"""The live window: driven by frames and a function that shows images, without a webcam and without a display."""

import itertools
import subprocess
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from experiments import predict
from experiments.cli.flags import ConfigError
from experiments.prediction import camera, webcam
from experiments.prediction.camera import LiveFrame, Record, newest, open_webcam
from experiments.prediction.figures import KIND_COLOURS
from experiments.prediction.live_view import Live, draw_live
from experiments.prediction.models import NOTICE
from experiments.prediction.predictor import Predictor
from experiments.prediction.table import Row
from experiments.prediction.webcam import refuse_no_display, run_webcam, webcam_number
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.vision.movement_kinds import KINDS
from lightman_jax.data.vision.spotting import CurvePoint, SpotConfig, Spotted
from lightman_jax.data.vision.video_file import VideoFile
from tests.inputs import CLASSES

CONFIG = SpotConfig()
GREY = np.full((48, 64, 3), 90, np.uint8)
RNG = np.random.default_rng(0)
FACE = RNG.integers(0, 255, (8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
POINTS = RNG.uniform(10, 30, (478, 3))


class StubModel:
    views, classes = (), CLASSES

    def __init__(self, stand_in=False):
        self.about = {"motion": vars(MotionConfig(face_side=64)), "notice": NOTICE, "stand_in": stand_in}

    def predict(self, images):
        return np.tile(np.array([0.2, 0.7, 0.1]), (4, len(images), 1))


class StubSearch:
    """Finds a movement of the next kind every ten frames."""

    def __init__(self, on_movement):
        self.on_movement = on_movement
        self.curve, self.given, self.finished = [], [], False
        self.faces = (SimpleNamespace(name="", points=POINTS),)

    def add(self, number, image, seconds):
        self.given.append((number, seconds))
        self.curve.append(CurvePoint(seconds, 1.0, 0.5, ""))
        if number % 10 == 0:
            kind = KINDS[number // 10 % len(KINDS)]
            times = (seconds - 0.2, seconds - 0.1, seconds)
            faces = tuple(np.roll(FACE, shift, axis=1) for shift in (0, 1, 0))
            self.on_movement(Spotted(number - 2, number - 1, number, 1.0, faces, None, 0, kind, times))

    def finish(self):
        self.finished = True


def frames(count, fps=25.0, skipped=1):
    for number in range(count):
        yield LiveFrame(1 + number * skipped, GREY, 100 + number / fps)


@pytest.fixture
def run():
    def live(count=100, stop=10**6, record=None, fps=25.0):
        searches, shown = [], []

        def begin_search(on_movement):
            searches.append(StubSearch(on_movement))
            return searches[-1]

        def show(image):
            shown.append(image)
            return len(shown) < stop

        predictor = Predictor(StubModel())
        rows = run_webcam("webcam 0", frames(count, fps, 2), begin_search, predictor, show, CONFIG, record)
        return rows, searches, shown

    return live


def test_movements_are_predicted_while_the_frames_arrive(run):
    rows, (search,), shown = run()
    assert len(shown) == 100
    # Numbers and times count from the first frame.
    assert search.given[0] == (1, 0.0)
    assert search.given[-1] == (100, pytest.approx(99 / 25))
    assert search.finished
    assert [row.kind for row in rows] == [KINDS[k % 7] for k in range(1, 11)]
    classes = {row.kind for row in rows if row.probabilities is not None}
    assert classes == {"micro-expression", "macro-expression"}
    assert all(bool(row.reason) == (row.probabilities is None) for row in rows)
    assert (rows[0].name, rows[0].span) == ("webcam 0", (8, 9, 10))
    assert len({image.shape for image in shown}) == 1


def test_the_window_ends_the_search(run):
    rows, (search,), shown = run(stop=15)
    assert len(shown) == 15
    assert search.finished
    assert len(rows) == 1


@pytest.mark.parametrize(("fps", "is_slow"), [(30.0, False), (12.0, True)])
def test_the_rate_is_shown_and_too_slow_a_rate_is_a_warning(monkeypatch, run, fps, is_slow):
    drawn = []
    monkeypatch.setattr(webcam, "draw_live", lambda live, model, pixels: drawn.append(live) or GREY)
    run(fps=fps)
    assert drawn[-1].status.startswith(f"{fps:.0f} of {2 * fps:.0f} frames/s analysed")
    assert drawn[-1].is_slow == is_slow
    assert ("need 24" in drawn[-1].status) == is_slow
    assert all("q or Esc stops" in live.status for live in drawn)
    assert len(drawn[-1].curve) == 100


def test_the_frames_are_saved_at_the_rate_that_was_reached(run, tmp_path):
    record = Record(tmp_path / "a.avi")
    run(record=record, fps=17.3)
    record.close()
    assert (record.frames, record.fps) == (100, pytest.approx(17.3))
    with VideoFile(record.path) as video:
        assert video.fps == pytest.approx(17.3, abs=0.01)
        images = [image for _, image in video.frames()]
    assert len(images) == 100
    assert np.abs(images[-1].astype(int) - GREY).max() <= 3
    with pytest.raises(ConfigError, match="exists; give another name"):
        Record(record.path)
    with pytest.raises(ConfigError, match=r"ends in \.avi"):
        Record(tmp_path / "a.mp4")


def test_a_full_file_ends_the_search(run, tmp_path, monkeypatch):
    monkeypatch.setattr(camera, "_MAX_BYTES", 20_000)
    record = Record(tmp_path / "a.avi")
    shown = run(record=record)[2]
    record.close()
    assert 10 < len(shown) < 100
    with VideoFile(record.path) as video:
        assert len(list(video.frames())) == record.frames


def test_a_video_that_cannot_be_written_is_an_error(run, tmp_path):
    with pytest.raises(OSError, match="cannot be written"):
        run(record=Record(tmp_path / "missing" / "a.avi"))


def shows(image, colour):
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return bool((image == (blue, green, red)).all(axis=2).any())


@pytest.mark.parametrize("shape", [(480, 640), (300, 400), (1080, 1920), (640, 360)])
def test_the_window_shows_faces_kinds_and_warnings(shape):
    image = np.full((*shape, 3), 90, np.uint8)
    rows = [Row("webcam 0", kind=kind, times=(k, k + 0.2, k + 0.5)) for k, kind in enumerate(KINDS, start=1)]
    empty = Live(image, 9.0, status="30 of 30 frames/s analysed")
    base = draw_live(empty, StubModel(), 0.25)
    assert base.dtype == np.uint8
    assert 640 <= base.shape[1] <= 960
    assert len(draw_live(empty, StubModel(stand_in=True), 0.25)) > len(base)
    height = round(shape[0] * base.shape[1] / shape[1])
    assert (base[:height] == 90).all()
    face = SimpleNamespace(name="face 1", points=POINTS)
    full = draw_live(
        empty._replace(faces=(face,), rows=rows, curve=[CurvePoint(8.0, 1.0, 1.0, ""), CurvePoint(8.2, 1.0, 3.0, "")]),
        StubModel(),
        0.25,
    )
    assert not (full[:height] == 90).all()
    timeline = full[height:][: len(full) - height - 80]
    assert all(shows(timeline, colour) for colour in KIND_COLOURS.values())


def test_movements_leave_the_timeline_after_twenty_seconds():
    row = Row("webcam 0", kind="speech", times=(1.0, 1.2, 1.5))
    colour = KIND_COLOURS["speech"]
    # The legend has the colour, too.
    counts = [
        int((draw_live(Live(GREY, now, rows=[row]), StubModel(), 0.25) == bgr(colour)).all(axis=2).sum())
        for now in (2.0, 21.25, 22.0)
    ]
    assert counts[0] > counts[1] > counts[2] > 0


def bgr(colour):
    return [int(colour[place : place + 2], 16) for place in (5, 3, 1)]


def test_class_names_of_any_letters_are_drawn():
    model = StubModel()
    model.classes = ("Freude ü", "驚き", "x")
    row = Row("webcam 0", kind="micro-expression", times=(1.0, 1.2, 1.5), probabilities=np.eye(3)[[1, 1]])
    assert draw_live(Live(GREY, 2.0, rows=[row]), model, 0.25).shape[1] == 640


def test_the_newest_frame_is_taken_and_others_are_skipped():
    shown, release = threading.Event(), threading.Event()

    def source():
        yield 1
        shown.wait(5)
        yield from range(2, 50)
        release.set()

    taken = []
    for item in newest(source()):
        taken.append(item)
        shown.set()
        release.wait(5)
    assert taken == [1, 49]


def test_every_frame_is_taken_if_the_analysis_is_fast():
    def source():
        for number in range(5):
            yield number
            time.sleep(0.02)

    assert list(newest(source())) == [0, 1, 2, 3, 4]


def test_stopping_ends_the_thread_of_the_source():
    before = threading.active_count()
    items = newest(itertools.count())
    assert next(items) >= 0
    items.close()
    assert threading.active_count() == before


def test_an_error_of_the_source_is_raised():
    def source():
        yield 1
        raise ConfigError("unplugged")

    with pytest.raises(ConfigError, match="unplugged"):
        list(newest(source()))


class StubCamera:
    def __init__(self, count, opened=True):
        self.left, self.opened, self.released, self.set_to = count, opened, False, None

    def isOpened(self):
        return self.opened

    def set(self, name, value):
        self.set_to = (name, value)

    def read(self):
        self.left -= 1
        return (self.left >= 0, np.array(GREY) if self.left >= 0 else None)

    def release(self):
        self.released = True


@pytest.mark.parametrize(
    ("stub", "message"),
    [
        (StubCamera(0, opened=False), "no webcam can be opened under the number 3.*give another number"),
        (StubCamera(0), "webcam 3 gives no image; close programs"),
    ],
)
def test_a_webcam_that_gives_nothing_is_refused(monkeypatch, stub, message):
    monkeypatch.setattr(camera.cv2, "VideoCapture", lambda *number: stub)
    with pytest.raises(ConfigError, match=message), open_webcam(3) as found:
        list(found)
    assert stub.released


def test_a_webcam_is_read_to_its_end_and_released(monkeypatch):
    stub = StubCamera(3)
    monkeypatch.setattr(camera.cv2, "VideoCapture", lambda *number: stub)
    with open_webcam(0, 60.0) as found:
        numbers = [frame.number for frame in found]
    assert numbers[-1] == 3
    assert stub.released
    assert stub.set_to == (cv2.CAP_PROP_FPS, 60.0)


def test_a_number_is_a_webcam_unless_it_is_a_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert webcam_number(["0"]) == 0
    assert webcam_number(["12"]) == 12
    assert webcam_number(["0.avi"]) is None
    assert webcam_number(["a.avi", "b.avi"]) is None
    with pytest.raises(ConfigError, match=r"1 is a webcam.*give the webcam alone"):
        webcam_number(["a.avi", "1"])
    (tmp_path / "1").mkdir()
    assert webcam_number(["1"]) is None


HEADLESS = "error: (-2:Unspecified error) The function is not implemented. Rebuild the library with Windows, GTK+ 2.x"
NO_CONNECTION = "qt.qpa.xcb: could not connect to display :9\nThis application failed to start"


@pytest.mark.parametrize(
    ("status", "stderr", "message"),
    [
        (1, HEADLESS, "shows no windows; run pip uninstall opencv-python-headless"),
        (-6, NO_CONNECTION, "could not connect to display :9.*Run the command on a computer with a screen"),
        (-6, "", "no window can be shown \\(status -6\\)"),
        (0, "a warning", None),
    ],
)
def test_a_display_that_shows_no_window_is_refused(monkeypatch, status, stderr, message):
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=status, stderr=stderr))
    if message is None:
        refuse_no_display()
    else:
        with pytest.raises(ConfigError, match=message):
            refuse_no_display()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0"], "a webcam needs a display.*Run the command on a computer with a screen"),
        (["0", "a.avi"], "give the webcam alone"),
        (["0", "--onset=3", "--apex=5"], "leave them out with a webcam"),
        (["a.avi", "--record=b.avi"], "--record is for a webcam"),
    ],
)
def test_wrong_uses_of_a_webcam_are_answered(monkeypatch, tmp_path, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webcam.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert predict.main([*words, "--model=none"]) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    assert message.split(".*")[0] in printed
    assert message.split(".*")[-1] in printed
