"""Figures are drawn without changing the matplotlib backend of the process."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.evaluation.cross_validation import Work
from experiments.reporting import figures
from experiments.reporting.figures import save_figure
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import make_clips, untrained

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_importing_the_commands_keeps_the_matplotlib_backend():
    code = (
        "import sys, experiments.train, experiments.predict, experiments.prepare, matplotlib;"
        "print('matplotlib.pyplot' in sys.modules, matplotlib.get_backend())"
    )
    environment = {**os.environ, "MPLBACKEND": "svg"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment, check=True
    )
    assert done.stdout.strip() == "False svg"


@pytest.mark.parametrize("name", ["$a$", "$\\\\frac{$", "a_{1}^2", "\x1b[1m", "\udcff", "a\nb"])
def test_names_in_figures_are_no_formulas(tmp_path, name):
    figure = Figure(layout="constrained")
    linear, powers = figure.subplots(1, 2)
    linear.set(title=name, xlabel=name, xticks=[0, 1], xticklabels=[name.replace("\udcff", "")] * 2)
    powers.set_xscale("log")
    powers.plot([1, 1000], [0, 1], label=f"{name} 2")
    powers.legend(title=name)
    figure.suptitle(name)
    save_figure(tmp_path / "figure.png", figure)
    assert not linear.title.get_parse_math()
    assert all(tick.get_parse_math() for tick in powers.get_xticklabels())


def test_a_figure_with_letters_that_the_font_lacks_is_saved_without_a_warning(tmp_path, recwarn):
    figure = Figure(layout="constrained")
    figure.subplots().set_title("微表情")
    save_figure(tmp_path / "figure.png", figure)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert not recwarn.list


@pytest.mark.slow
@pytest.mark.parametrize(
    ("view_network", "auxiliary", "points"),
    [("separate", "magnified", 4), ("shared", "views", 10), ("joined", "magnified", 6)],
)
def test_views_are_drawn_from_the_clips_that_have_them(tmp_path, monkeypatch, view_network, auxiliary, points):
    kept, views = [], ("farneback_fall", "farneback_rise")
    monkeypatch.setattr(figures, "save_figure", lambda path, figure, dpi: kept.append(figure))
    clips = make_clips(subjects=2, each=1, side=8)
    image = np.stack([clips.image, 2 * clips.image], axis=1)
    # The first class of both subjects has one view.
    image[::3, 0] = np.nan
    micro = dataclasses.replace(clips, image=image, views=views)
    network = NetworkConfig(width=8, embedding=4, views=2, view_network=view_network)
    config = TrainConfig(network=network, steps=1, auxiliary=auxiliary)
    folds = leave_one_subject_out(micro.subject)
    params = untrained(config, views, 8)[0].params
    jobs = [TrainedFold(fold, 0, jax.tree.map(lambda x, k=k: x[k], params), {}) for k, fold in enumerate(folds)]
    work = Work("smic", micro, None, folds, range(1), 1)
    figures.save_saliency_figure(tmp_path / "s.png", work, jobs, config, "saliency")
    figures.save_embedding_figure(tmp_path / "e.png", work, jobs[0], config, "embedding")
    saliency, embedding = kept
    titles = [axes.get_title() for axes in saliency.axes[:3]]
    assert titles == ["negative, 0 clips", "positive, 2 clips", "surprise, 2 clips"]
    assert [axes.get_ylabel() for axes in saliency.axes[::3]] == [
        f"{v} {p}" for v in views for p in ("motion", "saliency")
    ]
    maps = figures._mean_saliency(work, jobs, config)
    assert not maps[0, 0].any()
    assert (maps.max(axis=(2, 3)) > 0).sum() == 5
    micro_points = [len(drawn.get_offsets()) for drawn in embedding.axes[0].collections if "micro" in drawn.get_label()]
    assert sum(micro_points) == points


def test_the_mean_of_faces_is_in_their_colours_and_that_of_flow_is_a_magnitude():
    clips = make_clips(subjects=2, each=1, side=8)
    faces = np.random.default_rng(0).integers(0, 256, (6, 4, 8, 8, 3)).astype(np.uint8)
    work = Work("smic", dataclasses.replace(clips, image=faces), None, [], range(1), 1)
    found = figures._mean_images(work, TrainConfig(channels="rgb"))
    assert found.shape == (3, 1, 8, 8, 3)
    expected = [faces[clips.label == k].mean(axis=(0, 1)) / 255 for k in range(3)]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
    motion = figures._mean_images(work._replace(micro=clips), TrainConfig())
    expected = [np.abs(scale_flow(clips.image[clips.label == k])).mean(axis=(0, -1)) for k in range(3)]
    np.testing.assert_allclose(motion[:, 0, ..., 0], expected, atol=1e-6)
