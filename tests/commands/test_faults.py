"""A run with faults (full, slow or locked disk, clock jumps, other devices, damaged files) ends with bit-identical results."""

import errno
import json
import os
import random
import re
import shutil
import signal
import time

import jax
import pytest

from experiments import run
from lightman_jax import files
from lightman_jax.training import devices

pytestmark = pytest.mark.slow
NAMES = ("predictions.csv", "baselines/joint.csv", "confusion.png", "saliency.png", "curves.png", "embedding.png")


@pytest.fixture
def again(finished, tmp_path, monkeypatch):
    """Flags of the finished run with a new workdir, and a check that this holds the same results."""
    monkeypatch.setattr(run, "set_up_jax", lambda *_, **__: None)
    folder, flags = finished
    work = tmp_path / "work"

    def same():
        return all((work / name).read_bytes() == (folder / "work" / name).read_bytes() for name in NAMES)

    return [*flags, f"--workdir={work}"], work, same


def failing_fsync(monkeypatch, fails):
    """Call `fails(n)` at the n-th fsync from now on, counted from 1."""
    original, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        fails(len(calls))
        return original(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)


@pytest.mark.parametrize(("place", "trained"), [(1, 0), (5, 2), (10, 6), (22, 12)])
def test_a_full_disk_at_any_write_is_reported_and_the_run_continues_once_there_is_space(
    again, place, trained, monkeypatch, capsys
):
    flags, work, same = again

    def full(number):
        if number >= place:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        failing_fsync(patch, full)
        assert run.main(flags) == 2
    printed = capsys.readouterr().err
    assert re.search(r"disk is full: [\d,]+ bytes are needed, [\d,]+ are free: '", printed)
    assert printed.splitlines()[-1].startswith("python -m experiments.run --dataset=smic")
    assert not [path for path in work.rglob("*") if path.name.endswith(".part")]
    # Settings and environment are the first two writes; then six trainings, predictions, two baselines, six trainings of the third.
    assert len(list(work.glob("folds/*.fold"))) == trained
    if place in {5, 22}:
        assert run.main(flags) == 0
        assert same()


def test_a_signal_during_a_slow_write_ends_the_run_within_seconds_without_partial_files(again, monkeypatch, capsys):
    flags, work, same = again

    def slow(number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)

    started = time.monotonic()
    with monkeypatch.context() as patch:
        failing_fsync(patch, slow)
        assert run.main(flags) == 143
    assert time.monotonic() - started < 30
    assert capsys.readouterr().err.splitlines()[-1].startswith("python -m experiments.run")
    assert len(list(work.glob("folds/*.fold"))) == 2
    assert not list(work.rglob(".*.part"))
    assert run.main(flags) == 0
    assert same()


def test_a_clock_that_jumps_back_changes_no_result(again, monkeypatch):
    flags, work, same = again
    days = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "time", lambda: 86400.0 * next(days))
    assert run.main(flags) == 0
    assert same()
    seconds = [json.loads(line)["seconds"] for line in (work / "metrics.jsonl").read_text().splitlines()]
    assert min(seconds) >= 0
    assert max(seconds) < 600


def test_a_folder_without_write_permission_is_named(again, monkeypatch, capsys):
    flags, work, _ = again

    def locked(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(files, "temporary_path", locked)
    assert run.main(flags) == 2
    assert re.search(rf"Permission denied: '{work}.*Choose writable folders by --workdir", capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_continues_with_another_number_of_devices(again, monkeypatch, capsys):
    flags, _, same = again

    def stop(number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        failing_fsync(patch, stop)
        assert run.main(flags) == 143
    one = jax.devices()[:1]
    monkeypatch.setattr(devices.jax, "devices", lambda *_: one)
    assert run.main(flags) == 0
    assert "2 of 6 trainings are taken from" in capsys.readouterr().out
    assert same()


@pytest.mark.parametrize("way", ["delete", "cut", "flip"])
@pytest.mark.parametrize(
    "pattern",
    [
        "*.csv",
        "baselines/rbf_svm.csv",
        "*.png",
        "results.json",
        "metrics.json",
        "metrics.jsonl",
        "folds/*",
        "checkpoints/*/*/*.json",
    ],
)
def test_a_damaged_file_is_named_and_written_again(finished, again, way, pattern, capsys, without_pictures):
    folder, _ = finished
    flags, work, _ = again
    shutil.copytree(folder / "work", work)
    path = sorted(work.glob(pattern))[0]
    whole = path.read_bytes()
    rng = random.Random(f"{way} {pattern}")
    if way == "delete":
        path.unlink()
    else:
        cut = whole[: rng.randrange(len(whole))]
        place = rng.randrange(len(whole))
        flipped = whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :]
        path.write_bytes(cut if way == "cut" else flipped)
    assert run.main(flags) == 0
    printed = capsys.readouterr().out
    assert "the results are written again" in printed or pattern == "results.json"
    assert path.name in printed or pattern == "results.json"
    for name in ("predictions.csv", "baselines/joint.csv", "baselines/rbf_svm.csv"):
        assert (work / name).read_bytes() == (folder / "work" / name).read_bytes()


@pytest.mark.parametrize(("content", "text"), [(b"{", "cannot be read"), (b"[1]", "cannot be read"), (None, None)])
def test_a_changed_or_damaged_settings_file_stops_the_run(finished, again, content, text, capsys, without_pictures):
    flags, work, _ = again
    shutil.copytree(finished[0] / "work", work)
    path = work / "config.json"
    if content is None:
        path.write_text(path.read_text().replace('"steps": 2', '"steps": 3', 1))
        text = r"settings\.train\.steps is 3 there and 2 here"
    else:
        path.write_bytes(content)
    assert run.main(flags) == 2
    assert re.search(text, capsys.readouterr().err)
    path.unlink()
    assert run.main(flags) == 0
