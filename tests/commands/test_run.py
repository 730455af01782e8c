"""The command `run`: its files, repeated runs, and one paragraph for every wrong input."""

import contextlib
import csv
import hashlib
import importlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.metrics import f1_score

from experiments import run, train
from experiments.__main__ import COMMANDS
from experiments.cli.config import parse_config
from experiments.cli.flags import ConfigError
from experiments.cli.terminal import make_console
from experiments.evaluation.comparison import compare_runs
from lightman_jax.data.corpora.registry import DATASETS
from lightman_jax.model.checkpoint import read_metadata
from tests.inputs import TINY_RUN as TINY
from tests.inputs import write_flow_release
from tests.torch_files import resnet18_tensors

ALONE = "--baselines=none"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    monkeypatch.delenv("LIGHTMAN_DATA", raising=False)
    # The devices and the cache of the test process stay unchanged.
    monkeypatch.setattr(run, "set_up_jax", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["run"])


def call(*flags):
    return run.main([str(flag) for flag in flags])


def test_every_output_file_exists_and_agrees(finished):
    folder, _ = finished
    work = folder / "work"
    metrics = json.loads((work / "metrics.json").read_text())
    rows = list(csv.DictReader((work / "predictions.csv").read_text().splitlines()))
    assert Counter((row["clip"], row["seed"]) for row in rows).most_common(1)[0][1] == 1
    assert len(rows) == 2 * 18
    for index, seed in enumerate("01"):
        own = [row for row in rows if row["seed"] == seed]
        truth, guess = [row["label"] for row in own], [row["prediction"] for row in own]
        names = metrics["classes"]
        expected = f1_score(truth, guess, labels=names, average="macro", zero_division=0)
        assert metrics["uf1"]["per_seed"][index] == pytest.approx(expected, abs=1e-9)
        assert all(row["subject"] == row["fold"] for row in own)
        probabilities = np.array([[float(row[f"p_{name}"]) for name in names] for row in own])
        assert [names[i] for i in probabilities.argmax(axis=1)] == guess
    assert (metrics["folds"], metrics["folds_expected"]) == (3, 16)
    assert metrics["data"] == {"dataset": "smic", "stand_in": False, "origin": metrics["data"]["origin"]}
    assert metrics["data"]["origin"] == "smic, read by the layout flow_release"
    assert "pseudo-macro" in metrics["macro"]
    assert any("18 of 164 clips" in text for text in metrics["missing"])
    config = json.loads((work / "config.json").read_text())
    assert config["settings"]["train"]["steps"] == 2
    assert config["data"]["digest"]
    environment = json.loads((work / "environment.json").read_text())
    assert environment["packages"]["jax"]
    lines = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2
    assert all(line["data"] == "smic" for line in lines)
    for name in ("confusion.png", "curves.png", "baselines.png"):
        assert (work / name).read_bytes().startswith(b"\x89PNG")


def test_every_baseline_is_compared_on_the_same_clips(finished):
    work = finished[0] / "work"
    metrics = json.loads((work / "metrics.json").read_text())
    rows = metrics["baselines"]
    assert [row["name"] for row in rows] == ["majority", "rbf_svm", "joint"]
    compared = compare_runs([work, *(work / "baselines" / f"{row['name']}.csv" for row in rows)], with_first=True)
    for row, pair in zip(rows, compared.pairs, strict=True):
        assert (row["difference"], row["p"], row["p_holm"]) == (pair.difference, pair.p, pair.p_holm)
        assert row["uf1"] == pytest.approx(metrics["uf1"]["mean"] - pair.difference)
    assert [row["sd"] for row in rows] == [run.sd for run in compared.runs[1:]]
    assert rows[0]["sd"] == 0, "the majority does not depend on the seed"
    assert [row["difference_sd"] for row in rows] == [pair.sd for pair in compared.pairs]
    majority = list(csv.DictReader((work / "baselines" / "majority.csv").read_text().splitlines()))
    assert len({row["prediction"] for row in majority if row["subject"] == "smic/s1"}) == 1


def test_images_that_are_read_from_files_give_the_predictions_of_images_in_memory(finished, tmp_path, capsys):
    folder, flags = finished
    assert json.loads((folder / "work" / "environment.json").read_text())["images"].endswith("MB, in memory")
    streamed = [*flags, "--image_memory=0", f"--workdir={tmp_path}", "--baselines=rbf_svm"]
    assert call(*streamed) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"images take 0\.00 GB, more than --image_memory=0 of [\d.]+ GB of memory: they are read from", printed
    )
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["images"] == "0.2 MB, read from the prepared files as they are drawn"
    for name in ("predictions.csv", "baselines/rbf_svm.csv"):
        tables = [list(csv.reader((place / name).read_text().splitlines())) for place in (folder / "work", tmp_path)]
        assert [row[:6] for row in tables[0]] == [row[:6] for row in tables[1]]
        values = [np.array([row[-3:] for row in table[1:]], float) for table in tables]
        np.testing.assert_allclose(*values, atol=1e-3)
    assert call(*flags, f"--workdir={tmp_path}", "--baselines=rbf_svm") == 0
    assert "cached: nothing these results depend on has changed" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("has_views", [False, True])
def test_a_score_above_the_limit_of_its_corpora_and_views_is_called_suspicious(has_views, capsys):
    limits = DATASETS["megc2019"].suspicious_uf1
    for corpora in (*limits, frozenset({"smic", "samm"})):
        limit = limits[corpora][has_views] if corpora in limits else 1.0
        assert not has_views or corpora not in limits or limit >= limits[corpora][False]
        for uf1, warned in ((limit - 0.001, False), (limit + 0.001, limit < 1)):
            scores = SimpleNamespace(per_corpus=dict.fromkeys(corpora), uf1=SimpleNamespace(mean=min(uf1, 1.0)))
            result = SimpleNamespace(scores=scores)
            train._warn_if_suspicious(make_console(), result, "megc2019", has_views=has_views)
            assert (f"UF1 above {limit}" in capsys.readouterr().out) == warned


def test_checkpoints_contain_the_last_step_of_every_fold(finished):
    import jax

    from lightman_jax.model.checkpoint import load_params
    from lightman_jax.networks.dual_branch import NetworkConfig, init_params

    shapes = jax.eval_shape(
        lambda key: init_params(key, config=NetworkConfig(width=8, embedding=4), image_shape=(28, 28, 3), classes=3),
        jax.random.key(0),
    )
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((3, *leaf.shape), leaf.dtype), shapes)
    step, params, metadata = load_params(finished[0] / "work" / "checkpoints" / "seed_1", like)
    assert step == 2
    assert metadata["folds"] == ["smic/s1", "smic/s2", "smic/s3"]
    assert metadata["dataset"] == "smic"
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    with pytest.raises(ValueError, match="does not exist"):
        load_params(finished[0] / "nowhere", like)


def test_a_repeated_run_reuses_the_prepared_data_and_repeats_every_number(finished, capsys):
    folder, flags = finished
    before = (folder / "work" / "predictions.csv").read_bytes()
    data_cache = sorted(p.name for p in (folder / "shards").iterdir())
    assert call(*flags) == 0
    printed = capsys.readouterr().out
    assert "prepared before" in printed
    assert "cached: nothing" in printed
    assert "Pooled over folds" in printed
    (folder / "work" / "report.html").write_text("damaged")
    assert call(*flags) == 0
    assert "trainings are taken from" in capsys.readouterr().out
    assert "<html" in (folder / "work" / "report.html").read_text()
    assert (folder / "work" / "predictions.csv").read_bytes() == before
    assert sorted(p.name for p in (folder / "shards").iterdir()) == data_cache


def test_a_workdir_with_another_run_is_not_overwritten(finished, capsys):
    folder, flags = finished
    before = (folder / "work" / "metrics.json").read_bytes()
    assert call(*flags, "--method=joint") == 2
    assert "other settings" in capsys.readouterr().err
    assert (folder / "work" / "metrics.json").read_bytes() == before


@pytest.mark.slow
def test_another_method_runs_on_the_composite(finished, capsys, without_pictures):
    folder, method = finished[0], "maml"
    data = write_flow_release(folder / f"composite_{method}", subjects=2, each=1, corpora=("smic", "casme2"))
    flags = [
        f"--data_dir={data}",
        f"--data_cache={folder / 'shards'}",
        f"--workdir={folder / method}",
        "--dataset=megc2019",
    ]
    assert call(*flags, f"--method={method}", *TINY, ALONE, "--scaling=fold_rms", "--primary=focal") == 0
    printed = capsys.readouterr().out
    assert "4/40 folds" in printed
    assert "SAMM is not there" in printed
    assert set(json.loads((folder / method / "metrics.json").read_text())["per_corpus"]) == {"smic", "casme2"}


@pytest.fixture
def small_stand_in(monkeypatch):
    from experiments.evaluation import data
    from lightman_jax.data.synthetic.faces import SimulatorConfig

    small = SimulatorConfig(subjects=2, micro_clips=1, macro_clips=1, frames=3, side=32)
    monkeypatch.setattr(data, "stand_in_config", lambda dataset: small)


@pytest.mark.slow
def test_every_output_file_is_marked_as_stand_in(tmp_path, capsys, small_stand_in, without_pictures):
    flags = [f"--data_cache={tmp_path / 'shards'}", f"--workdir={tmp_path / 'work'}", "--method=joint", *TINY, ALONE]
    assert call("--dataset=smic", *flags) == 0
    printed = capsys.readouterr().out
    assert printed.count("STAND-IN DATA") == 2
    assert printed.index("STAND-IN DATA") < printed.index("data: writing")
    for name in ("metrics.json", "config.json", "environment.json", "predictions.csv", "metrics.jsonl"):
        assert "smic_stand_in" in (tmp_path / "work" / name).read_text(), name
    assert "synthetic" in json.loads((tmp_path / "work" / "metrics.json").read_text())["title"]


@pytest.mark.slow
def test_a_run_on_colour_images_starts_from_pretrained_weights(tmp_path, capsys, small_stand_in, without_pictures):
    file, work = tmp_path / "resnet18.safetensors", tmp_path / "work"
    save_file(resnet18_tensors(4), file)
    images = ["--macro=ck_plus", "--representation=apex", "--colour=rgb", "--scaling=imagenet", "--image_side=32"]
    network = ["--backbone=resnet18", f"--init={file}", "--method=joint", *TINY, "--seeds=1", "--steps=1", ALONE]
    words = ["--dataset=smic", f"--data_cache={tmp_path / 'shards'}", f"--workdir={work}", *images, *network]
    assert call(*words, "--width=8") == 2
    assert "the network needs [8, 3, 7, 7]; add --width=4" in capsys.readouterr().err
    assert call(*words, "--width=4") == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest in json.loads((work / "metrics.json").read_text())["notes"][-1]
    stored = json.loads((work / "config.json").read_text())
    assert (stored["settings"]["train"]["init"], stored["trained"]["init_digest"]) == (str(file), digest)
    card = read_metadata(work / "checkpoints" / "seed_0")
    assert card["trained_on"] == ["ck_plus_stand_in", "smic_stand_in"]
    assert digest in card["init"]
    assert (card["network"]["stem"], card["network"]["normalisation"]) == ("imagenet", "affine")


def break_table(data: Path) -> None:
    (data / "combined_3_class2_for_optical_flow.csv").unlink()


def break_column(data: Path) -> None:
    table = data / "combined_3_class2_for_optical_flow.csv"
    table.write_text(table.read_text().replace("filename_o", "file", 1))


def break_label(data: Path) -> None:
    table = data / "combined_3_class2_for_optical_flow.csv"
    table.write_text(table.read_text().replace(",2,,", ",3,,", 1))


def break_image(data: Path) -> None:
    next((data / "STSNet_whole_norm_u_v_os").iterdir()).write_text("not an image")


def remove_images(data: Path) -> None:
    for path in (data / "STSNet_whole_norm_u_v_os").iterdir():
        path.unlink()


def keep_one_subject(data: Path) -> None:
    for path in (data / "STSNet_whole_norm_u_v_os").iterdir():
        if not path.name.startswith("s01"):
            path.unlink()


def keep_two_classes(data: Path) -> None:
    for path in (data / "STSNet_whole_norm_u_v_os").glob("*_sur_*"):
        path.unlink()


@pytest.mark.parametrize(
    ("breakage", "text"),
    [
        (break_table, "has no table combined_3_class2"),
        (break_column, "no row that names the columns dataset, sub, filenameo, label; found dataset, sub, file"),
        (break_label, r"found '3'.*expected label 0 negative, 1 positive or 2 surprise.*--skip_bad_clips"),
        (break_image, r"bytes that OpenCV cannot decode.*--skip_bad_clips"),
        (remove_images, "holds no clip of SMIC-HS"),
        (keep_one_subject, "at least 2 subjects, found 1"),
        (keep_two_classes, "no clip of class surprise"),
    ],
)
def test_broken_data_give_one_paragraph_and_status_2(tmp_path, capsys, breakage, text):
    data = write_flow_release(tmp_path / "data")
    breakage(data)
    flags = [f"--data_dir={data}", f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}", *TINY, ALONE]
    assert call("--dataset=smic", *flags) == 2
    assert_one_paragraph(capsys.readouterr().err, text)


def assert_one_paragraph(printed, text):
    assert printed.startswith("error: ")
    assert "Traceback" not in printed
    assert "\n\n" not in printed
    assert re.search(text, " ".join(printed.split())), printed


@pytest.mark.slow
def test_bad_clips_can_be_left_out_on_request(tmp_path, capsys, without_pictures):
    data = write_flow_release(tmp_path / "data")
    break_image(data)
    flags = [f"--data_dir={data}", f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}", *TINY, ALONE]
    assert call("--dataset=smic", "--skip_bad_clips", "--method=joint", *flags) == 0
    assert "17 clips" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (
            ["--dataset=smik"],
            r"dataset 'smik' is unknown; choose one of .*casme2, .*smic, .*megc2019\. Did you mean smic\?",
        ),
        (["--datset=smic"], r"unknown flag --datset\. Did you mean --dataset\?"),
        (["--method=lightmann"], "Did you mean lightman"),
        (["--steps=many"], "invalid int value"),
        (["--steps=0"], "trains nothing"),
        (["--shots=0"], "choose 1 or more"),
        (["--alignment=euclid"], "contrastive, cosine"),
        (["--first_order=perhaps"], "neither true nor false"),
        (["--seeds=-1"], "seeds -1 .* must be 1 or more"),
        (["smic"], "unexpected argument smic: flags start with --"),
        (["--dataset=smic", "--data_dir=/nowhere/at/all"], "does not exist"),
    ],
)
def test_wrong_flags_give_one_paragraph_and_status_2(capsys, flags, text):
    assert call(*flags) == 2
    assert_one_paragraph(capsys.readouterr().err, text)


def test_folders_without_write_permission_are_named(tmp_path, capsys):
    data = write_flow_release(tmp_path / "data")
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    flags = ["--dataset=smic", f"--data_dir={data}", *TINY, ALONE]
    assert call(*flags, f"--data_cache={tmp_path / 's'}", f"--workdir={blocked / 'w'}") == 2
    assert_one_paragraph(capsys.readouterr().err, "Not a directory.*file/w.*--workdir")
    assert call(*flags, f"--data_cache={blocked / 's'}", f"--workdir={tmp_path / 'w'}") == 2
    assert_one_paragraph(capsys.readouterr().err, "Not a directory")


def test_flags_set_the_settings_and_an_environment_variable_the_data(monkeypatch):
    config = parse_config(
        ["--inner_lr", "0.1", "--first_order", "--primary=focal", "--shots=3", "--width=24", "--stop_macro=false"]
    )
    assert config.train.method.bilevel.inner_lr == 0.1
    assert config.train.method.bilevel.first_order
    assert config.train.method.primary == "focal"
    assert not config.train.method.stop_macro
    assert (config.train.task.shots, config.train.network.width) == (3, 24)
    assert config.data.data_dir is None
    monkeypatch.setenv("LIGHTMAN_DATA", "/somewhere")
    assert parse_config([]).data.data_dir == "/somewhere"
    assert parse_config(["--data_dir=/here"]).data.data_dir == "/here"
    assert parse_config(["--method=joint"]).trained.method.bilevel.inner_steps == 0
    with pytest.raises(ConfigError):
        parse_config(["--method=nothing"])


def test_help_lists_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_config(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--dataset", "--data_dir", "--inner_steps", "--alignment", "--shots", "--width", "--scaling"):
        assert flag in text
    assert "[smic]" in text
    assert "--inner_lr=0.05 " in text
    with pytest.raises(SystemExit):
        parse_config(["--help=inner_loop"])
    text = capsys.readouterr().out
    assert "--inner_lr" in text
    assert "[0.05]" in text
    assert "--dataset" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_fits_one_screen(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    module = importlib.import_module(f"experiments.{name}")
    main = module.main if hasattr(module, "main") else importlib.import_module(f"experiments.{name}.__main__").main
    with contextlib.suppress(SystemExit):
        assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(name in line for line in lines)
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 120


@pytest.mark.slow
def test_a_dry_run_runs_every_phase_and_stores_nothing(tmp_path, capsys, small_stand_in):
    flags = [f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}", "--baselines=majority", "--method=joint"]
    assert call("--dataset=smic", "--dry_run", *flags, "--width=4") == 0
    printed = capsys.readouterr().out
    assert "its scores are meaningless" in printed
    assert "Forecast" in printed
    assert re.search(r"the whole run: about [\d.]+ minutes of training, \d+ MB on disk", printed)
    assert not (tmp_path / "w").exists()
