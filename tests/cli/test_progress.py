"""The progress of a training: live table, log lines and TensorBoard files."""

import builtins
import io
import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from experiments.cli.flags import ConfigError
from experiments.cli.progress import TrainingProgress, open_summary_writer, write_curves
from lightman_jax.training.cross_validation import Progress

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


def test_tensorboard_receives_the_loss_during_training_and_curves_at_the_end(tmp_path):
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
    assert "10/20 trained; smic/s0 seed 0, smic/s1 seed 0 step 50/50 loss 0.500" in console.file.getvalue()


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
