"""Episodes: nobody on both sides, nothing given is asked, every way tells the same clips, scores by hand."""

import json

import numpy as np
import pytest

from experiments import run
from experiments.cli.config import parse_config
from experiments.cli.flags import ConfigError
from experiments.evaluation.few_shot import QUERIES, draw_few_shot, draw_personal
from tests.inputs import TINY_RUN, make_clips, write_flow_release

TINY = [*TINY_RUN, "--seeds=1"]


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.delenv("LIGHTMAN_DATA", raising=False)
    monkeypatch.setattr(run, "set_up_jax", lambda config: None)


def test_a_few_shot_episode_has_nobody_on_both_sides():
    clips = make_clips(subjects=6, each=3)
    rows = np.flatnonzero([name != "smic/s1" for name in clips.subject])
    for draw in range(50):
        episode = draw_few_shot(np.random.default_rng(draw), clips, rows, 2, draw, "group 0")
        support, query = ({clips.subject[row] for row in part} for part in (episode.support, episode.query))
        assert not support & query
        assert "smic/s1" not in support | query
        assert np.bincount(clips.label[episode.support]).tolist() == [2, 2, 2]
        counts = np.bincount(clips.label[episode.query], minlength=3)
        assert counts.min() >= 1
        assert counts.max() <= QUERIES


def test_an_episode_that_cannot_be_drawn_is_none():
    clips = make_clips(subjects=2, each=1)
    rows = np.arange(len(clips))
    assert draw_few_shot(np.random.default_rng(0), clips, rows, 2, 0, "g") is None
    assert draw_personal(np.random.default_rng(0), clips, rows[:3], 1, 0, "s") is None


def test_personal_gives_k_of_each_class_and_asks_all_others():
    clips = make_clips(subjects=2, each=4)
    rows = np.flatnonzero([name == "smic/s1" for name in clips.subject])
    episode = draw_personal(np.random.default_rng(0), clips, rows, 2, 0, "smic/s1")
    assert np.bincount(clips.label[episode.support]).tolist() == [2, 2, 2]
    assert sorted([*episode.support, *episode.query]) == rows.tolist()


@pytest.mark.parametrize(("protocol", "measure"), [("few_shot", "accuracy"), ("subject_calibration", "UF1")])
def test_the_command_scores_every_way_on_the_same_clips(tmp_path, capsys, protocol, measure):
    data = write_flow_release(tmp_path / "data", subjects=12, each=2)
    places = [f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}"]
    flags = [
        "--dataset=smic",
        f"--data_dir={data}",
        f"--protocol={protocol}",
        "--episodes=12",
        "--method=maml",
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
        rates = []
        for line in lines:
            own = [
                [g == t for g, t in zip(line["adapted"], line["labels"], strict=True) if t == name]
                for name in {*line["labels"]}
            ]
            rates.append(np.mean([np.mean(part) for part in own]))
        assert metrics["ways"]["adapted"]["mean"] == pytest.approx(np.mean(rates))


def test_a_protocol_that_adapts_refuses_what_cannot():
    with pytest.raises(ConfigError, match="adapts to no task"):
        parse_config(["--protocol=personal", "--method=generated"])
    with pytest.raises(ConfigError, match="choose one of loso"):
        parse_config(["--protocol=loso2"])


def test_leave_one_dataset_out_leaves_one_corpus_out(tmp_path, capsys, without_pictures):
    data = write_flow_release(tmp_path / "data", subjects=2, each=1, corpora=("smic", "casme2"))
    places = [f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}", "--baselines=majority"]
    flags = ["--protocol=leave_one_dataset_out", f"--data_dir={data}", *TINY, *places]
    assert run.main([*flags, "--dataset=megc2019"]) == 0
    table = (tmp_path / "w" / "predictions.csv").read_text().splitlines()
    folds = {tuple(line.split(",")[k] for k in (1, 3)) for line in table[1:]}
    assert folds == {("smic", "smic"), ("casme2", "casme2")}
    capsys.readouterr()
    assert run.main([*flags, "--dataset=smic", f"--workdir={tmp_path / 'v'}"]) == 2
    assert "needs two corpora" in capsys.readouterr().err
