"""Figures are drawn without changing the matplotlib backend of the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from experiments.reporting.figures import save_figure

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
