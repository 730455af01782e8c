"""The report: self-contained, reproducible from stored predictions, with names escaped."""

import dataclasses
import json
import re
import shutil

import pytest
from hypothesis import example, given, settings
from markupsafe import escape

from experiments import html_report
from experiments.cli.terminal import printable
from experiments.evaluation.prediction_table import Prediction, write_predictions
from experiments.evaluation.run_result import DataSource, RunResult
from experiments.evaluation.scores import score_predictions
from experiments.evaluation.workdir import refuse_changed
from experiments.reporting.html import clips_by_probability, write_report
from lightman_jax.data.tables.cells import cell_text
from tests.inputs import NAMES


@pytest.fixture
def work(finished, tmp_path):
    return shutil.copytree(finished[0] / "work", tmp_path / "work")


@pytest.mark.slow
def test_report_is_complete_and_loads_nothing(work):
    page = (work / "report.html").read_text()
    metrics = json.loads((work / "metrics.json").read_text())
    for text in (f"{metrics['uf1']['mean']:.3f}", "rbf_svm", "smic/s1/", "pseudo-macro", "learning_rate", "Incomplete"):
        assert text in page
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r"https?://|<script|src=\"(?!data:)|href=", page)


@pytest.mark.slow
def test_report_is_made_again_from_the_stored_predictions(work, capsys):
    before, page = (work / "metrics.json").read_text(), (work / "report.html").read_text()
    (work / "report.html").unlink()
    assert html_report.main([str(work)]) == 0
    assert json.loads((work / "metrics.json").read_text()) == json.loads(before)
    assert (work / "report.html").read_text() == page
    refuse_changed(work, "*")
    table = (work / "predictions.csv").read_text().splitlines()
    classes = json.loads(before)["classes"]
    table[1:] = [",".join([*line.split(",")[:6], line.split(",")[5], *line.split(",")[7:]]) for line in table[1:]]
    (work / "predictions.csv").write_text("\n".join(table) + "\n")
    assert html_report.main([str(work)]) == 2
    assert "predictions.csv is missing or has changed since the run wrote it" in capsys.readouterr().err
    (work / "results.json").unlink()
    assert html_report.main([str(work)]) == 0
    assert json.loads((work / "metrics.json").read_text())["uf1"]["mean"] == 1
    assert len(classes) == 3


@pytest.mark.slow
def test_names_are_escaped(work):
    table = (work / "predictions.csv").read_text()
    (work / "predictions.csv").write_text(table.replace("smic/s1/", "smic/s1/<script>alert(1)</script>"))
    shutil.rmtree(work / "baselines")
    (work / "results.json").unlink()
    html_report.renew_report(work)
    page = (work / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "No baseline was run" in page


def test_a_missing_run_is_reported(tmp_path, capsys):
    assert html_report.main([str(tmp_path)]) == 2
    assert "Give the workdir of a finished run" in capsys.readouterr().err


@settings(max_examples=15, deadline=None)
@given(NAMES.filter(lambda name: name == cell_text(name) != "" and not re.search("[\r\ud800-\udfff]", name)))
@example("<script>alert('\u202e')</script>")
def test_any_name_is_text_of_the_page(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("run")
    classes = [f"{name}0", f"{name}1"]
    rows = [Prediction(f"{name}/{k}", name, name, name, 0, classes[k], classes[0], (0.5, 0.5)) for k in range(2)]
    result = RunResult(DataSource(name, False, name), "joint", "loso", name, name, (name,), name)
    dataclasses.replace(result, scores=score_predictions(rows, classes, 1)).save(folder)
    write_predictions(folder / "predictions.csv", rows, classes)
    page = write_report(folder).read_text(encoding="utf-8")
    assert page.count(str(escape(printable(name)))) >= 8
    assert not re.search("<script|[\x00-\x09\x0b-\x1f\u202e]", page)


def test_clips_are_sorted_by_the_probability_of_their_label():
    def row(clip, seed, right):
        return Prediction(
            clip, "smic", "smic/s1", "smic/s1", seed, "a", "a" if right > 0.5 else "b", (right, 1 - right)
        )

    found = clips_by_probability([row("x", 0, 0.9), row("x", 1, 0.8), row("y", 0, 0.1), row("y", 1, 0.7)], ["a", "b"])
    assert [(clip.clip, round(clip.probability, 2)) for clip in found] == [("y", 0.4), ("x", 0.85)]
