"""A run folder of any name is written and read back: no path is a pattern."""

import dataclasses
import glob
import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiments.evaluation.prediction_table import Prediction, read_predictions, write_predictions
from experiments.evaluation.run_result import DataSource, RunResult, read_result
from experiments.evaluation.scores import score_predictions
from experiments.evaluation.workdir import changed_file, write_inventory
from experiments.evaluation.writer_lock import only_writer
from experiments.reporting.html import write_report
from lightman_jax.files import plain_path, remove_leftovers, temporary_path
from lightman_jax.model.checkpoint import load_params, save_params

_PIECES = [
    "[v1]",
    "*",
    "?",
    "%20",
    "#1",
    "'",
    '"',
    "{x}",
    "$",
    "~",
    " ",
    "\\n",
    "\x1b[31m",
    "😀",
    "\udcff",
    "..",
    "a:b",
    "-x",
    "<b>",
]
FOLDERS = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=4).map("".join),
).filter(lambda name: name not in {".", ".."} and len(os.fsencode(name)) < 100)

ROWS = [Prediction(f"my/s/{label}", "my", "my/s", "my/s", 0, label, label, (0.5, 0.5)) for label in "ab"]
RESULT = RunResult(
    DataSource("my", False, ""), "joint", "loso", "", "", (), "", scores=score_predictions(ROWS, ["a", "b"], 1)
)


@settings(max_examples=20, deadline=None)
@given(FOLDERS)
@example("study [v1]")
def test_a_run_folder_of_any_name_is_read_back(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("runs") / name / "run"
    folder.mkdir(parents=True)
    result = dataclasses.replace(RESULT, data=DataSource("my", False, str(folder)))
    with only_writer(folder):
        write_predictions(folder / "predictions.csv", ROWS, ["a", "b"])
        result.save(folder)
        write_report(folder)
        write_inventory(folder, "digest")
    assert changed_file(folder) is None
    assert read_result(folder) == result
    assert read_predictions(folder / "predictions.csv") == (ROWS, ["a", "b"])
    with plain_path(folder) as plain:
        assert glob.glob(f"{plain}/metrics.json") == [f"{plain}/metrics.json"]


@pytest.mark.parametrize("name", ["study [v1]", "**", "a?b", "back\\slash", "\udcff"])
def test_checkpoints_in_a_folder_of_any_name_are_read_back(tmp_path, name):
    folder, params = tmp_path / name / "seed_0", {"kernel": np.arange(3, dtype=np.float32)}
    save_params(folder, 1, params, {"origin": name})
    step, back, metadata = load_params(folder, params)
    assert (step, metadata) == (1, {"origin": name})
    assert np.array_equal(back["kernel"], params["kernel"])
    assert [path.name for path in folder.iterdir()] == ["step_1"]


def test_left_files_are_removed_by_their_name_and_not_by_a_pattern(tmp_path):
    left = [tmp_path / name for name in ("a[b]", "ab")]
    for path in left:
        temporary = temporary_path(path)
        temporary.with_name(temporary.name.replace(str(os.getpid()), "999999999")).touch()
    remove_leftovers(tmp_path, "a[b]")
    assert [path.name[:4] for path in tmp_path.iterdir()] == [".ab."]
