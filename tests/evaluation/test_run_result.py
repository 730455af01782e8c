"""Typed records and their JSON: complete round trips, checked types, other versions refused."""

import dataclasses
import json

import pytest

from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError
from experiments.evaluation.records import FORMAT_VERSION, as_json, from_json, write_json
from experiments.evaluation.run_result import (
    BaselineResult,
    ClassScore,
    CorpusScore,
    DataSource,
    EpisodeScores,
    Estimate,
    RunResult,
    Scores,
    SubjectScore,
    WayScore,
    read_result,
)

ESTIMATE = Estimate(0.5, None, (0.4, 0.6), (0.5,))
SCORES = Scores(
    folds=2,
    folds_expected=3,
    seeds=(0,),
    clips=4,
    subjects=2,
    classes=("negative", "positive"),
    class_counts={"negative": 3, "positive": 1},
    absent_classes=(),
    uf1=ESTIMATE,
    uar=ESTIMATE,
    accuracy=ESTIMATE,
    per_class={"negative": ClassScore(3, 0.7, None)},
    per_subject={"smic/s1": SubjectScore(4, (3, 1), 0.5)},
    confusion_per_seed=(((3, 0), (1, 0)),),
    per_corpus={"smic": CorpusScore(4, 2, ESTIMATE, ESTIMATE, ESTIMATE)},
)
RESULT = RunResult(
    data=DataSource("smic", False, "SMIC in /data"),
    method="lightman",
    protocol="loso",
    title="SMIC-HS",
    macro="none",
    missing=("SMIC-HS has 4 of 164 clips",),
    rule="leave-one-subject-out",
    scores=SCORES,
    baselines=(BaselineResult("knn", 0.4, None, 0.1, None, (0.0, 0.2), 0.1, 0.1, None),),
    training_seconds=1.5,
)
EPISODES = EpisodeScores(1, "UF1", ("smic/s2",), {"adapted": WayScore(0.6, (0.5, 0.7), 0.1, (0.0, 0.2), 0.04)}, 9)


@pytest.mark.parametrize("result", [RESULT, dataclasses.replace(RESULT, scores=None, episodes=EPISODES, baselines=())])
def test_a_result_is_read_back_as_it_was_written(result, tmp_path):
    result.save(tmp_path)
    assert read_result(tmp_path) == result
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["format_version"] == FORMAT_VERSION
    assert content["data"]["dataset"] == "smic"
    assert "uf1" in content or "ways" in content, "scores are at the top level of the file"


def test_a_result_of_another_version_names_the_command_to_run_again(tmp_path):
    write_json(tmp_path / "metrics.json", RESULT.to_json())
    content = json.loads((tmp_path / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps(content | {"format_version": 1}))
    with pytest.raises(ValueError, match=r"format version 1.*run the experiment again.*python -m experiments\.run"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uf1": 0.5}, r"scores\.uf1 must be an object"),
        ({"clips": "4"}, r"scores\.clips is '4', which is not int"),
        ({"clips": True}, r"scores\.clips is True"),
        ({"unknown": 1}, r"scores\.unknown is unknown"),
        ({"method": None}, "method is None"),
        ({"data": {"dataset": "smic"}}, r"data\.origin is missing"),
        ({"confusion_per_seed": [[[1.5, 0], [0, 0]]]}, r"confusion_per_seed\[0\]\[0\]\[0\] is 1.5"),
    ],
)
def test_ill_typed_values_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        RunResult.from_json(RESULT.to_json() | change)


def test_settings_are_read_back_as_they_were_written():
    config = dataclasses.replace(RunConfig(), seeds=3, protocol="few_shot")
    assert from_json(RunConfig, as_json(config)) == config
    assert from_json(RunConfig, {}) == RunConfig()
