"""The figure of a movement shows each view with its own saliency map, and names missing ones; the timeline shows all kinds."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from experiments.prediction import figures
from experiments.prediction.figures import KIND_COLOURS
from experiments.prediction.movements import missing_text, missing_views, model_image
from experiments.prediction.table import Row
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.vision.movement_kinds import KINDS, WITH_CLASS
from lightman_jax.data.vision.spotting import CurvePoint, Gap, Search, SpotConfig, Spotted
from lightman_jax.model.saved_model import Model

VIEWS = ("farneback_rise", "dis_rise", "farneback_fall")


def model_of(views):
    motion = MotionConfig(views=",".join(views), face_side=64)
    return Model(
        {
            "classes": ["negative", "positive"],
            "views": list(views),
            "motion": vars(motion),
            "networks": 2,
            "method": "lightman",
            "origin": "smic",
            "stand_in": False,
        },
        [],
        {},
    )


def movement_of(offset):
    """A face that is moved right up to frame 12, and back."""
    face = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
    shifts = (0, 1, 2, 1, 0)[: offset - 9]
    return Spotted(10, 12, offset, 1.0, tuple(np.roll(face, shift, axis=1) for shift in shifts), None, 0)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a movement, and returns its panels that have an image, by title."""
    kept = []
    monkeypatch.setattr(figures, "save_figure", lambda path, figure, dpi: kept.append(figure))

    def draw(views, movement, used):
        probabilities = np.array([[0.2, 0.8], [0.4, 0.6]])
        row = Row("a.avi", fps=50, span=movement[:3], views=used, probabilities=probabilities)
        saliency = np.arange(1, max(len(views), 1) + 1)[:, None, None] * np.eye(28)
        figures.save_movement_figure(
            tmp_path / "a.png", row, movement, saliency if views else saliency[0], model_of(views), 0
        )
        return [(axes.get_title(), axes.get_images()) for axes in kept[-1].axes if axes.get_images()]

    return draw


def test_every_view_is_drawn_with_its_own_saliency(drawn):
    panels = drawn(VIEWS, movement_of(14), VIEWS)
    assert [title.split(",")[0] for title, _ in panels if title != "saliency"] == ["onset", *VIEWS, "apex"]
    maps = [images[0].get_array() for title, images in panels if title == "saliency"]
    # Red minus blue is the share of the largest saliency of all views.
    shares = [float((one[..., 0] - one[..., 2]).max()) for one in maps]
    np.testing.assert_allclose(np.divide(shares, shares[-1]), [1 / 3, 2 / 3, 1], atol=1e-6)
    assert len(drawn((), movement_of(14), ())) == 4


def test_a_movement_without_frames_after_the_apex_lacks_its_fall_and_says_so(drawn):
    model, movement = model_of(VIEWS), movement_of(12)
    image = model_image(model, movement)
    assert image.shape == (3, 28, 28, 3)
    assert missing_views(model, image) == ("farneback_fall",)
    assert missing_text(movement, ("farneback_fall",)) == "no frame after the apex, so without farneback_fall"
    titles = [title for title, _ in drawn(VIEWS, movement, VIEWS[:2])]
    assert "farneback_fall: missing" in titles
    assert titles.count("saliency") == 2
    assert missing_views(model, model_image(model, movement_of(14))) == ()
    assert missing_text(movement_of(14), ()) == ""
    with pytest.raises(ValueError, match="has no view farneback_fall, dis_fall; give a later offset"):
        model_image(model_of(("farneback_fall", "dis_fall")), movement)


@pytest.mark.parametrize(
    ("row", "title"),
    [
        (Row("a.avi", kind="macro-expression", times=(1.0, 1.5, 2.2), pixels=4.1), "macro-expression: 1.20 s, 4.1 px"),
        (Row("a.avi", kind="micro-expression", pixels=0.42), "micro-expression: 0.4 px"),
        (Row("a.avi", kind="micro-expression"), "micro-expression"),
    ],
)
def test_the_title_of_a_figure_has_the_kind(row, title):
    assert figures._size(row) == title


@pytest.fixture
def timeline(monkeypatch, tmp_path):
    """Draws a timeline; returns its panels, and the kinds of the legend."""
    kept = []
    monkeypatch.setattr(figures, "save_figure", lambda path, figure, dpi: kept.append(figure))

    def draw(rows):
        gap = Gap(300, 400, "the face is covered; show it", 12.0, 16.0)
        points = [(0.5, 1.0, 0.2, "face 1"), (0.7, 1.0, 1.5, "face 2"), (1.0, 2.0, 7.0, "face 1")]
        curve = tuple(CurvePoint(*point) for point in points)
        search = Search((), curve, (gap,), 500, whole=False, seconds=20.0)
        figures.save_timeline(tmp_path / "a.png", search, rows, model_of(()), SpotConfig())
        keys = [text.get_text() for legend in kept[-1].legends for text in legend.get_texts()]
        return kept[-1].axes, keys

    return draw


def timed(kind, begin, face_name=""):
    row = Row("a.avi", kind=kind, face_name=face_name, span=(1, 2, 3), times=(begin, begin + 0.2, begin + 0.5))
    return row._replace(probabilities=np.array([[0.2, 0.8]])) if kind in WITH_CLASS else row


def test_the_timeline_has_a_colour_for_each_kind_and_classes_for_two(timeline):
    rows = [timed(kind, 1.0 + 2 * place) for place, kind in enumerate(KINDS)]
    (axes,), keys = timeline(rows)
    assert keys == list(KINDS)
    bands = [(bar.get_facecolor()[0], bar.get_paths()[0].get_extents().x0) for bar in axes.collections]
    assert [(tuple(colour), begin) for colour, begin in bands] == [
        (to_rgba(KIND_COLOURS[row.kind]), row.times[0]) for row in rows
    ]
    labels = [text.get_text() for text in axes.texts]
    assert labels.count("positive 0.80") == len(WITH_CLASS)
    assert "the face is covered" in labels
    assert len(set(KIND_COLOURS.values())) == len(KINDS)


def test_the_timeline_has_a_panel_for_each_face(timeline):
    rows = [timed("speech", 1.0, "face 1"), timed("speech", 2.0, "face 10"), timed("head motion", 3.0, "face 2")]
    panels, keys = timeline(rows)
    assert [axes.get_title(loc="left") for axes in panels] == ["face 1", "face 2", "face 10"]
    assert [len(axes.collections) for axes in panels] == [1, 1, 1]
    assert keys == ["speech", "head motion"]
    # The curve of each face, in windows of one second.
    assert [axes.lines[0].get_ydata().tolist() for axes in panels] == [[0.2], [1.5], []]
    assert panels[0].get_xlim() == (0, 20)


def test_a_video_without_movements_has_a_timeline(timeline):
    (axes,), keys = timeline([Row("a.avi", "no movement exceeds the noise")])
    assert keys == []
    assert len(axes.lines) == 2
