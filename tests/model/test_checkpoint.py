"""A damaged checkpoint is detected, its file is named, and an older step is used."""

import errno
import json
import shutil
import subprocess

import jax
import numpy as np
import pytest

from lightman_jax import files
from lightman_jax.model import checkpoint
from lightman_jax.model.checkpoint import load_params, save_params

PARAMS = {"backbone": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}, "head": np.ones(4, np.float32)}
OLDER = jax.tree.map(lambda leaf: leaf - 5, PARAMS)


@pytest.fixture
def saved(tmp_path):
    save_params(tmp_path / "seed_0", 7, PARAMS, {"data": "synthetic"})
    return tmp_path / "seed_0"


def pid_of_a_finished_process():
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def same(tree, other):
    return jax.tree.all(jax.tree.map(np.array_equal, tree, other))


def test_parameters_and_metadata_are_restored(saved):
    step, params, metadata = load_params(saved, PARAMS)
    assert (step, metadata) == (7, {"data": "synthetic"})
    assert same(params, PARAMS)
    assert [path.name for path in (*saved.parent.iterdir(), *saved.iterdir())] == ["seed_0", "step_7"]


@pytest.mark.slow
def test_a_flipped_bit_is_detected_and_the_older_step_is_used(tmp_path):
    folder = tmp_path / "seed_0"
    save_params(folder, 7, OLDER, {"data": "older"})
    save_params(folder, 8, PARAMS, {"data": "newer"})
    rng = np.random.default_rng(0)
    listed = [path for path in (folder / "step_8").rglob("*") if path.is_file() and path.stat().st_size]
    assert len(listed) > 3
    for trial in range(100):
        path = listed[trial % len(listed)]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="using the older step 7") as warned:
            step, params, metadata = load_params(folder, PARAMS)
        assert str(path) in str(warned[0].message)
        assert (step, metadata) == (7, {"data": "older"})
        if trial < len(listed):
            assert same(params, OLDER)
        path.write_bytes(whole)
    assert load_params(folder, PARAMS)[0] == 8


def test_the_newest_steps_are_kept(tmp_path):
    for step in (100, 20, 3):
        save_params(tmp_path, step, PARAMS, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_100", "step_20"]
    assert load_params(tmp_path, PARAMS)[0] == 100


def test_missing_added_and_unreadable_files_are_refused(saved):
    place = saved / "step_7"
    (place / "more").write_text("x")
    with pytest.raises(
        ValueError,
        match=r"more has changed since it was written; run the same `python -m experiments\.run` command again",
    ):
        load_params(saved, PARAMS)
    (place / "more").unlink()
    about = files.read_checksummed_json(place / checkpoint._ABOUT)
    files.write_checksummed_json(place / checkpoint._ABOUT, about | {"format_version": 3})
    with pytest.raises(
        ValueError, match=r"format version 3, this release reads 4; run the same `python -m experiments\.run` command"
    ):
        load_params(saved, PARAMS)
    for content in ("{", json.dumps(about), "[1]", "[" * 100_000):
        (place / checkpoint._ABOUT).write_text(content)
        with pytest.raises(ValueError, match=r"checkpoint\.json is missing or damaged"):
            load_params(saved, PARAMS)
    shutil.rmtree(place)
    with pytest.raises(ValueError, match="has no checkpoint; give the folder of one"):
        load_params(saved, PARAMS)


def test_an_interrupted_write_keeps_the_older_checkpoint(saved, monkeypatch):
    def interrupt(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_digests", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_params(saved, 8, PARAMS, {})
    assert load_params(saved, PARAMS)[0] == 7
    left = saved / f".step_9.{files.host_name()}-{pid_of_a_finished_process()}.part"
    (left / "params").mkdir(parents=True)
    save_params(saved, 9, PARAMS, {})
    assert load_params(saved, PARAMS)[0] == 9
    assert not left.exists()


def test_a_full_disk_reports_bytes_needed_and_free_before_writing(saved, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1000))
    with pytest.raises(OSError, match=r"disk is full: 1,048,\d+ bytes are needed, 1,000 are free") as error:
        save_params(saved, 8, PARAMS, {})
    assert error.value.errno == errno.ENOSPC
    assert [path.name for path in saved.iterdir()] == ["step_7"]
