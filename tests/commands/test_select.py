"""Nested selection: every pair of groups is held out once; no clip of a group enters the choice of its settings."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from experiments import select
from experiments.cli.config import parse_config
from experiments.cli.flags import ConfigError
from experiments.evaluation import selection
from experiments.evaluation.cross_validation import Work
from experiments.evaluation.groups import GROUPS, group_of_subjects
from experiments.evaluation.selection import inner_scores, rounds_of_pairs
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import TINY_RUN, make_clips

TINY = [*TINY_RUN, "--seeds=1", "--method=joint"]


def test_every_pair_of_groups_is_held_out_once():
    rounds = rounds_of_pairs()
    assert sorted(pair for one in rounds for pair in one) == [
        (g, h) for g in range(GROUPS) for h in range(g + 1, GROUPS)
    ]
    assert all(sorted(g for pair in one for g in pair) == list(range(GROUPS)) for one in rounds)


def test_groups_are_balanced_within_each_corpus():
    names = [f"smic/s{k}" for k in range(13)] + [f"samm/{k:03}" for k in range(12)]
    groups = group_of_subjects(names)
    for corpus in ("smic", "samm"):
        counts = np.bincount([group for name, group in groups.items() if name.startswith(corpus)], minlength=GROUPS)
        assert counts.max() - counts.min() <= 1


@pytest.mark.slow
def test_labels_of_a_group_do_not_change_its_own_scores(tmp_path):
    clips = make_clips(subjects=12, each=1)
    work = Work("smic", clips, None, leave_one_subject_out(clips.subject), range(1))
    of_subject = group_of_subjects(clips.subject)
    groups = np.array([of_subject[name] for name in clips.subject])
    config = parse_config(TINY).trained

    def scores(content, folder):
        (tmp_path / folder).mkdir()
        return inner_scores(work._replace(micro=content), config, of_subject, tmp_path / folder, Console(quiet=True))

    before = scores(clips, "before")
    label = np.where(groups == 3, (clips.label + 1) % 3, clips.label).astype(np.int32)
    after = scores(dataclasses.replace(clips, label=label), "after")
    assert after[3] == before[3]
    assert (after != before).any(), "scores of other groups depend on group 3"


@pytest.mark.slow
def test_command_tests_each_subject_with_the_settings_of_its_group(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(select, "set_up_jax", lambda *_, **__: None)
    scores = iter([np.array([0.5, 0.5, 0.5, 0.6, 0.6, 0.6]), np.full(GROUPS, 0.55)])
    monkeypatch.setattr(selection, "inner_scores", lambda *_: next(scores))
    flags = [*TINY, "--seeds=1", f"--data_cache={tmp_path / 's'}", f"--workdir={tmp_path / 'w'}"]
    assert select.main([*flags, "--candidate=--steps=1", "--candidate=--learning_rate=0.01"]) == 0
    output = capsys.readouterr().out
    assert "UF1 on the inner subjects" in output
    assert "synthetic" in output
    found = json.loads((tmp_path / "w" / "selection.json").read_text())
    assert found["chosen"] == ["--learning_rate=0.01"] * 3 + ["--steps=1"] * 3
    table = (tmp_path / "w" / "predictions.csv").read_text().splitlines()
    assert len({line.split(",")[2] for line in table[1:]}) == 16, "a subject was not tested"
    assert (tmp_path / "w" / "report.html").exists()
    assert select.main([*flags, "--candidate=--steps=1"]) == 2
    assert "give at least two candidates" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["--labels=5", "--dataset=casme2"])
def test_candidates_with_other_data_are_refused(text, capsys):
    assert select.main(["--dataset=smic", f"--candidate={text}", "--candidate=--steps=1"]) == 2
    assert "all candidates must use the same data" in capsys.readouterr().err


def test_a_protocol_that_does_not_test_the_choice_is_refused(capsys):
    assert select.main([*TINY, "--protocol=transductive", "--candidate=--steps=1", "--candidate=--steps=2"]) == 2
    assert "by leave-one-subject-out; leave out --protocol=transductive" in " ".join(capsys.readouterr().err.split())


def test_candidates_get_the_views_of_the_data(tmp_path, monkeypatch):
    clips = make_clips(subjects=2, each=1)
    micro = dataclasses.replace(clips, image=np.stack([clips.image] * 2, axis=1), views=("dis_rise", "dis_fall"))
    run = SimpleNamespace(
        work=SimpleNamespace(data="smic", micro=micro), prepared=SimpleNamespace(micro=micro, macro=None)
    )
    monkeypatch.setattr(select, "plan_run", lambda *_: run)
    given = {}

    def note(work, trained, *_):
        given.update(trained)
        raise ConfigError("enough")

    monkeypatch.setattr(select, "select_settings", note)
    flags = [*TINY, f"--workdir={tmp_path}"]
    candidates = {name: parse_config([*flags, f"--view_network={name}"]) for name in ("separate", "joined")}
    with pytest.raises(ConfigError, match="enough"):
        select.select_and_evaluate(parse_config(flags), candidates, Console(quiet=True))
    networks = [config.network for config in given.values()]
    assert [(one.view_network, one.views, one.extractions) for one in networks] == [
        ("separate", 2, ((0, 1),)),
        ("joined", 2, ((0, 1),)),
    ]
