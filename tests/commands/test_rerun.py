"""One fold of a finished run, trained again: bit-identical predictions, and any difference is reported."""

import json
import shutil

import pytest

from experiments import rerun
from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError
from experiments.evaluation.records import from_json

pytestmark = pytest.mark.slow


@pytest.fixture
def finished_run(finished, monkeypatch):
    monkeypatch.setattr(rerun, "set_up_jax", lambda *_, **__: None)
    folder, _ = finished
    return folder


def test_a_fold_is_reproduced_bit_by_bit_and_a_changed_table_is_reported(finished_run, tmp_path, capsys):
    words = ["--fold=smic/s2", "--seed=1", f"--data_cache={finished_run / 'shards'}"]
    before = {path.name: path.stat().st_mtime_ns for path in (finished_run / "work").iterdir()}
    assert rerun.main([str(finished_run / "work"), *words]) == 0
    assert "all probabilities are bit-identical" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in (finished_run / "work").iterdir()} == before
    copy = tmp_path / "work"
    shutil.copytree(finished_run / "work", copy)
    lines = (copy / "predictions.csv").read_text().splitlines()
    place = next(row for row, line in enumerate(lines) if ",smic/s2,1," in line)
    cells = lines[place].split(",")
    cells[-2], cells[-3] = "0.25", "0.5"
    lines[place] = ",".join(cells)
    (copy / "predictions.csv").write_text("\n".join(lines) + "\n")
    assert rerun.main([str(copy), *words]) == 2
    assert "predictions.csv is missing or has changed since the run wrote it" in capsys.readouterr().err
    (copy / "results.json").unlink()
    assert rerun.main([str(copy), *words]) == 1
    assert "probabilities differ by up to" in capsys.readouterr().out


def test_wrong_arguments_are_answered_with_the_allowed_ones(finished_run, tmp_path, capsys):
    for words, answer in (
        ([str(tmp_path), "--fold=smic/s2"], "Give the workdir of a finished run"),
        (
            [str(finished_run / "work"), "--fold=smic/s9", f"--data_cache={finished_run / 'shards'}"],
            "choose a fold from smic/s1, smic/s2",
        ),
    ):
        assert rerun.main(words) == 2
        assert answer in capsys.readouterr().err


def test_stored_settings_are_restored_and_unknown_ones_are_refused(finished_run):
    settings = json.loads((finished_run / "work" / "config.json").read_text())["settings"]
    config = from_json(RunConfig, settings)
    assert (config.train.network.width, config.train.task.shots, config.seeds) == (8, 1, 2)
    assert from_json(RunConfig, {}) == RunConfig()
    settings["train"]["network"]["depth"] = 3
    with pytest.raises(ConfigError, match=r"train\.network\.depth is unknown to this version"):
        from_json(RunConfig, settings)
    for name, value in (
        ("seeds", "2"),
        ("seeds", True),
        ("ensemble_size", 1.5),
        ("workdir", 3),
        ("protocol", "few"),
        ("train", []),
    ):
        with pytest.raises(ConfigError, match=name):
            from_json(RunConfig, {name: value})
    with pytest.raises(ConfigError, match="seeds -1"):
        from_json(RunConfig, {"seeds": -1})
