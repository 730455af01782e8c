"""The progress of a training: live table, log lines and TensorBoard files."""

import builtins
import io
import json
import re
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from experiments import predict
from experiments.cli import progress
from experiments.cli.config import DataConfig
from experiments.cli.flags import ConfigError
from experiments.cli.progress import ProgressLines, TimeLeft, TrainingProgress, open_summary_writer, write_curves
from experiments.evaluation import data
from experiments.evaluation.data import check_data, prepare_checked
from lightman_jax.training.cross_validation import Progress
from tests.inputs import write_flow_release

JOBS = [(SimpleNamespace(name=f"smic/s{number}"), number) for number in range(10)]


def scalars(folder):
    """`{tag: [(step, value)]}` of a folder's event files."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_all_phases_of_a_command_print_one_line_in_ten_seconds(tmp_path, monkeypatch):
    # Each look at the clock takes two seconds.
    times, printed = [0], []
    lines = ProgressLines(lambda: times.append(times[-1] + 2) or times[-1])
    monkeypatch.setattr(progress, "print_progress", lines)
    monkeypatch.setattr(data, "print_progress", lines)
    monkeypatch.setattr(predict, "print_progress", lines)

    def log(text):
        if re.search(r"(^| )\d+/\d+", text):
            printed.append((times[-1], text))

    places = {"data_dir": str(write_flow_release(tmp_path / "flow")), "data_cache": str(tmp_path / "cache")}
    config = DataConfig(dataset="smic", **places)
    prepare_checked(config, check_data(config, log), log)
    console = Console(file=io.StringIO())
    monkeypatch.setattr(console, "print", log)
    for name in ("run", "baseline"):
        with TrainingProgress(name, 5, 50, 20, tmp_path, console) as report:
            for step in range(5, 51, 5):
                report(Progress(JOBS, step, 0, 20, 1.5))
    with predict._progress(console, "1/1: a.avi") as on_frame:
        for frame in range(1, 11):
            on_frame(frame)
    assert np.diff([0, *(time for time, _ in printed)]).min() >= 10
    shown = "\n".join(text for _, text in printed)
    for phase in ("data: checked clip 5/18", "data: clip ", "/20 trained; smic/s0 seed 0, ", "1/1: a.avi, frame "):
        assert phase in shown
    assert times[-1] / len(printed) < 15


def test_the_time_left_follows_from_the_pace_since_the_first_report(monkeypatch):
    times = iter([30.0, 32.0, 36.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(times)))
    left = TimeLeft()
    assert [left(done, 10) for done in (2, 3, 6)] == ["", ", 14 s to go", ", 6 s to go"]


def test_tensorboard_receives_the_loss_during_training_and_curves_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "print_progress", ProgressLines())
    with open_summary_writer(tmp_path / "tensorboard") as summary_writer:
        console = Console(file=io.StringIO(), width=100)
        with TrainingProgress("smic", 5, 50, 20, tmp_path, console, summary_writer) as report:
            report(Progress(JOBS, 25, 0, 20, 1.5))
            report(Progress(JOBS, 50, 0, 20, 0.5))
        write_curves(summary_writer, [{"outer/loss": np.array([3.0, 1.0])}, {"outer/loss": np.array([1.0, 0.0])}])
    found = scalars(tmp_path / "tensorboard")
    assert found["training/current_loss"] == [(250, 1.5), (500, 0.5)]
    assert found["training/trainings_done"] == [(250, 5.0), (500, 10.0)]
    assert found["mean_over_trainings/outer/loss"] == [(1, 2.0), (2, 0.5)]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [1.5, 0.5]
    assert lines[0]["folds"][7] == {"fold": "smic/s7", "seed": 1, "member": 2}
    # The training took less than ten seconds.
    assert console.file.getvalue() == ""


def test_a_terminal_shows_a_table_that_is_removed_at_the_end(tmp_path):
    console = Console(file=io.StringIO(), width=100, force_terminal=True, legacy_windows=False)
    with TrainingProgress("smic", 5, 50, 20, tmp_path, console) as report:
        report(Progress(JOBS, 25, 0, 20, 1.5))
        report(Progress(JOBS, 50, 0, 20, 0.5))
    shown = console.file.getvalue()
    for text in (
        "held out",
        "smic/s7",
        "and 2 more",
        "0 of 20 trainings finished; mean loss 0.500",
        "steps of all trainings",
    ):
        assert text in shown
    assert "\x1b[2K" in shown


def test_tensorboard_without_its_package_names_the_install_command(tmp_path, monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.startswith("tensorboardX"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="pip install tensorboardX"), open_summary_writer(tmp_path):
        pass
    with open_summary_writer(None) as summary_writer:
        assert summary_writer is None
