"""Episodes: no subject on both sides, support and query disjoint, all ways predict the same clips, scores as by hand."""

import json

import numpy as np
import pytest
from rich.console import Console

from experiments import run
from experiments.cli.config import parse_config
from experiments.cli.flags import ConfigError
from experiments.evaluation.few_shot import QUERIES, draw_few_shot, draw_subject_calibration
from experiments.evaluation.protocols import plan_run
from lightman_jax.training.folds import Fold
from tests.inputs import TINY_RUN, make_clips, write_flow_release

TINY = [*TINY_RUN, "--seeds=1"]


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.delenv("LIGHTMAN_DATA", raising=False)
    monkeypatch.setattr(run, "set_up_jax", lambda *_, **__: None)


def fold_of(clips, subjects, name="group 0"):
    test = np.isin(clips.subject, subjects)
    return Fold(name=name, test=np.flatnonzero(test), train=~test, macro_train=~test)


def test_support_and_query_of_a_few_shot_episode_share_no_subject():
    clips = make_clips(subjects=6, each=3)
    fold = fold_of(clips, [f"smic/s{number}" for number in range(2, 7)])
    for draw in range(50):
        episode = draw_few_shot(np.random.default_rng(draw), clips, fold, 2, draw)
        support, query = ({clips.subject[row] for row in part} for part in (episode.support, episode.query))
        assert not support & query
        assert "smic/s1" not in support | query
        assert np.bincount(clips.label[episode.support]).tolist() == [2, 2, 2]
        counts = np.bincount(clips.label[episode.query], minlength=3)
        assert counts.min() >= 1
        assert counts.max() <= QUERIES


def test_too_few_clips_give_no_episode():
    clips = make_clips(subjects=2, each=1)
    both, one = fold_of(clips, ["smic/s1", "smic/s2"]), fold_of(clips, ["smic/s1"])
    assert draw_few_shot(np.random.default_rng(0), clips, both, 2, 0) is None
    assert draw_subject_calibration(np.random.default_rng(0), clips, one, 1, 0) is None


def test_subject_calibration_gives_k_clips_per_class_and_predicts_the_others():
    clips = make_clips(subjects=2, each=4)
    fold = fold_of(clips, ["smic/s1"])
    episode = draw_subject_calibration(np.random.default_rng(0), clips, fold, 2, 0)
    assert np.bincount(clips.label[episode.support]).tolist() == [2, 2, 2]
    assert sorted([*episode.support, *episode.query]) == fold.test.tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "measure"), [("few_shot", "balanced accuracy"), ("subject_calibration", "UF1")])
def test_command_scores_every_way_on_the_same_clips(tmp_path, capsys, protocol, measure):
    data = write_flow_release(tmp_path / "data", subjects=12, each=2)
    places = [f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}"]
    flags = [
        "--dataset=smic",
        f"--data_dir={data}",
        f"--protocol={protocol}",
        "--episodes=12",
        "--method=fomaml",
        *TINY,
        *places,
    ]
    assert run.main(flags) == 0
    assert "nearest class mean" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "w" / "metrics.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "w" / "episodes.jsonl").read_text().splitlines()]
    assert metrics["measure"].startswith(measure)
    assert len(lines) == (12 if protocol == "few_shot" else 60)
    for line in lines:
        assert not {*line["support"]} & {*line["query"]}
        if protocol == "subject_calibration":
            assert {name.rsplit("/", 1)[0] for name in line["support"] + line["query"]} == {line["fold"]}
    if protocol == "few_shot":
        accuracies = []
        for line in lines:
            own = [
                [g == t for g, t in zip(line["adapted"], line["labels"], strict=True) if t == name]
                for name in {*line["labels"]}
            ]
            accuracies.append(np.mean([np.mean(part) for part in own]))
        assert metrics["ways"]["adapted"]["mean"] == pytest.approx(np.mean(accuracies))


def test_methods_without_adaptation_and_unknown_protocols_are_refused():
    with pytest.raises(ConfigError, match="adapts to no task"):
        plan_run(parse_config(["--protocol=subject_calibration", "--method=generated"]), Console(quiet=True))
    with pytest.raises(ConfigError, match="choose one of loso"):
        parse_config(["--protocol=loso2"])


@pytest.mark.slow
def test_leave_one_dataset_out_holds_out_each_corpus(tmp_path, capsys, without_pictures):
    data = write_flow_release(tmp_path / "data", subjects=2, each=1, corpora=("smic", "casme2"))
    places = [f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}", "--baselines=majority"]
    flags = ["--protocol=leave_one_dataset_out", "--method=joint", f"--data_dir={data}", *TINY, *places]
    assert run.main([*flags, "--dataset=megc2019"]) == 0
    table = (tmp_path / "w" / "predictions.csv").read_text().splitlines()
    folds = {tuple(line.split(",")[k] for k in (1, 3)) for line in table[1:]}
    assert folds == {("smic", "smic"), ("casme2", "casme2")}
    capsys.readouterr()
    assert run.main([*flags, "--dataset=smic", f"--workdir={tmp_path / 'v'}"]) == 2
    assert "needs at least two corpora" in capsys.readouterr().err
