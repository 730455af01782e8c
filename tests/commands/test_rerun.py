"""One fold of a finished run, trained again: the same bit by bit, and a difference is seen."""

import json
import shutil

import pytest

from experiments import rerun
from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError
from experiments.evaluation.stored_config import restore_config


@pytest.fixture
def ran(finished, monkeypatch):
    monkeypatch.setattr(rerun, "set_up_jax", lambda config: None)
    folder, _ = finished
    return folder


def test_a_fold_predicts_the_same_again_and_a_changed_table_is_noticed(ran, tmp_path, capsys):
    words = ["--fold=smic/s2", "--seed=1", f"--data_cache={ran / 'shards'}"]
    before = {path.name: path.stat().st_mtime_ns for path in (ran / "work").iterdir()}
    assert rerun.main([str(ran / "work"), *words]) == 0
    assert "every probability is the same, bit by bit" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in (ran / "work").iterdir()} == before
    copy = tmp_path / "work"
    shutil.copytree(ran / "work", copy)
    lines = (copy / "predictions.csv").read_text().splitlines()
    place = next(row for row, line in enumerate(lines) if ",smic/s2,1," in line)
    cells = lines[place].split(",")
    cells[-2], cells[-3] = "0.25", "0.5"
    lines[place] = ",".join(cells)
    (copy / "predictions.csv").write_text("\n".join(lines) + "\n")
    assert rerun.main([str(copy), *words]) == 2
    assert "predictions.csv is missing or not as the run has left it" in capsys.readouterr().err
    (copy / "results.json").unlink()
    assert rerun.main([str(copy), *words]) == 1
    assert "probabilities differ by up to" in capsys.readouterr().out


def test_wrong_uses_are_answered(ran, tmp_path, capsys):
    for words, answer in (
        ([str(tmp_path), "--fold=smic/s2"], "Give the workdir of a finished run"),
        ([str(ran / "work"), "--fold=smic/s9", f"--data_cache={ran / 'shards'}"], "choose one of smic/s1, smic/s2"),
    ):
        assert rerun.main(words) == 2
        assert answer in capsys.readouterr().err


def test_settings_come_back_from_their_file_and_unknown_ones_are_refused(ran):
    settings = json.loads((ran / "work" / "config.json").read_text())["settings"]
    config = restore_config(settings)
    assert (config.train.network.width, config.train.task.shots, config.seeds) == (8, 1, 2)
    assert restore_config({}) == RunConfig()
    settings["train"]["network"]["depth"] = 3
    with pytest.raises(ConfigError, match=r"train\.network\.depth is not one of this version"):
        restore_config(settings)
    for name, value in (
        ("seeds", "2"),
        ("seeds", True),
        ("members", 1.5),
        ("workdir", 3),
        ("protocol", "few"),
        ("train", []),
    ):
        with pytest.raises(ConfigError, match=name):
            restore_config({name: value})
    with pytest.raises(ConfigError, match="seeds -1"):
        restore_config({"seeds": -1})
