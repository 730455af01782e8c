"""Names in results, checks, comparisons and predictions are printed letter by letter."""

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiments import rerun
from experiments.cli.progress import progress_table
from experiments.cli.terminal import PlainConsole, printable
from experiments.evaluation.comparison import Comparison, Pair, Run
from experiments.evaluation.prediction_table import Prediction
from experiments.evaluation.run_result import DataSource, EpisodeScores, RunResult, WayScore
from experiments.evaluation.scores import score_predictions
from experiments.prediction.table import Row, print_table
from experiments.reporting.console import print_baselines, print_comparison, print_episodes, print_results
from experiments.reporting.data_check import print_check
from lightman_jax.data.corpora.labels import LabelSpace
from lightman_jax.data.preparation.check import Check, CorpusCount
from lightman_jax.data.records import Problem, Reading
from lightman_jax.training.cross_validation import Progress
from tests.inputs import NAMES

FEW = settings(max_examples=25, deadline=None)


def shown(function, *arguments):
    """What a function prints to an ASCII terminal and to a UTF-8 one, each without the frames of tables."""
    for encoding in ("ascii", "utf-8"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict", newline="")
        function(PlainConsole(file=stream, width=1500), *arguments)
        stream.flush()
        yield encoding, stream.buffer.getvalue().decode(encoding)


def predictions(name):
    subjects = [f"{name}/s", f"{name}/t"]
    return [
        Prediction(f"{s}/{k}", name, s, s, 0, f"{name}{k}", f"{name}1", (0.3, 0.7)) for s in subjects for k in range(2)
    ]


def result_of(name, **changes):
    rows = predictions(name)
    result = RunResult(DataSource(name, False, name), "joint", "loso", name, name, (name,), name)
    scores = score_predictions(rows, [f"{name}0", f"{name}1", f"{name}2"], 2)
    return dataclasses.replace(result, **({"scores": scores} | changes))


@FEW
@given(NAMES)
@example("[/x] [red]")
def test_results(name):
    for encoding, text in shown(print_results, result_of(name)):
        assert f"incomplete: class {printable(name, encoding)}2 has no clip" in text
        assert f"{printable(name, encoding)}/s" in text
    episodes = EpisodeScores(1, "UF1", (name,), {name: WayScore(0.5, (0.1, 0.9))}, 9)
    for encoding, text in shown(print_episodes, result_of(name, episodes=episodes)):
        assert f"too few clips for an episode: {printable(name, encoding)}" in text
    for _, text in shown(print_baselines, result_of(name)):
        assert "--baselines=default" in text


def test_a_choice_in_reading_the_data_is_no_part_that_they_lack():
    result = result_of("smic", missing=("SAMM is not there", "2 clips have one view"), notes=("2 clips have one view",))
    for _, text in shown(print_results, result):
        assert "incomplete: SAMM is not there" in text
        assert "data: 2 clips have one view" in text


@FEW
@given(NAMES)
@example("study [v1]/run")
def test_comparisons(name):
    pair = Pair(name, f"{name}2", 0.1, None, (0.0, 0.2), 0.5, 0.5, None)
    compared = Comparison([Run(name, 0.5, None), Run(f"{name}2", 0.4, None)], [pair], (0.1, 0.5))
    for encoding, text in shown(print_comparison, compared):
        assert text.count(printable(name, encoding)) >= 4


@FEW
@given(NAMES)
@example("a[/]b")
def test_checks(name):
    problem = Problem(f"1{name}", f"2{name}", f"3{name}", f"4{name}")
    count = CorpusCount(name, name, "micro", {name: 1, f"{name}+": 0}, None, 1, None, False)
    reading = Reading(name, Path(f"/data/{name}"), (), (problem,), (f"5{name}",), (f"6{name}",))
    check = Check(reading, LabelSpace("own", (name, f"{name}+")), (count,), {})
    for encoding, text in shown(print_check, check):
        for number in range(1, 7):
            assert f"{number}{printable(name, encoding)}" in text
        assert str(Path(f"/data/{printable(name, encoding)}")) in text


@FEW
@given(NAMES)
@example("[/]$")
def test_predictions(name):
    model = SimpleNamespace(classes=(name, f"{name}2"), views=())
    rows = [
        Row(name, span=(1, 2, 3), probabilities=np.array([[0.8, 0.2]]), notes=(f"note {name}",)),
        Row(f"clip {name}", reason=f"reason {name}"),
    ]
    for encoding, text in shown(print_table, rows, model):
        plain = printable(name, encoding)
        assert f"not predicted: clip {plain}: reason {plain}" in text
        assert f"note {plain}" in text
    before = predictions(name)
    for encoding, text in shown(rerun._print, before, before, name, Path(name)):
        assert f"{printable(name, encoding)}/s/0" in text


@FEW
@given(NAMES, st.integers(1, 12))
def test_progress(name, count):
    jobs = [{"fold": f"<{name}>", "seed": 0, "member": k} for k in range(count)]
    table = progress_table(jobs, Progress((), 1, 0, count, 1.0), 5, [1.0, 0.5])
    for encoding, text in shown(lambda console: console.print(table)):
        assert f"<{printable(name, encoding)}>" in text
