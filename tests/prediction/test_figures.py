"""The figure of a movement shows each view that the networks use with its own saliency map, and names those that are missing."""

import numpy as np
import pytest

from experiments.prediction import figures
from experiments.prediction.movements import missing_text, missing_views, model_image
from experiments.prediction.table import Row
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.vision.spotting import Spotted
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
