"""`experiments.evaluate` and `experiments.default_model` on a miniature flow release."""

import csv
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import default_model, evaluate
from lightman_jax.model.default_model import PATCH_RECIPE, default_card
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.model.export import TrainedModel
from lightman_jax.model.saved_model import load_model
from lightman_jax.training.program import method_of
from tests.inputs import write_flow_release
from tests.model.test_default_model import SMALL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return write_flow_release(tmp_path_factory.mktemp("release") / "data", corpora=("smic", "casme2"))


@pytest.fixture
def call(release, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "set_up_jax", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset=megc2019", f"--data_dir={release}", f"--data_cache={tmp_path / 'cache'}"]
    return lambda *words: evaluate.main([*flags, *words])


def test_the_default_model_and_baselines_are_scored_on_all_clips_and_each_corpus(call, tmp_path, capsys):
    assert call() == 0
    printed = capsys.readouterr().out
    rows = [line.strip("│ ").split("│") for line in printed.splitlines() if line.startswith("│")]
    names = [row[0].strip() for row in rows]
    assert names == [name for own in ("model", "majority", "rbf_svm") for name in (own, "casme2", "smic")]
    assert [row[1].strip() for row in rows] == ["36", "18", "18"] * 3
    assert all(
        re.fullmatch(r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]|1\.000 \[.*\]", cell.strip())
        for row in rows
        for cell in row[2:4]
    )
    assert "no face was recorded" in printed
    for file in ("predictions.csv", "baselines/majority.csv", "baselines/rbf_svm.csv"):
        with (tmp_path / "evaluation" / file).open(newline="", encoding="utf-8") as table:
            assert len(list(csv.DictReader(table))) == 36


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--baselines=rbf_swm"], "baseline 'rbf_swm' is unknown.*Did you mean rbf_svm"),
        (["--macro=ck_plus"], "macro clips are not evaluated; leave --macro out"),
        (["--model=nowhere"], "nowhere does not exist.*without --model the default model"),
        (["--flow_method=dis"], "unknown flag --flow_method"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(call, capsys, words, message):
    assert call(*words) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_the_default_model_is_written_with_its_scores(release, tmp_path, monkeypatch, capsys):
    config, recipes = SMALL.train, []

    def train(recipe, log):
        recipes.append(recipe)
        keys = jax.random.split(jax.random.key(0), SMALL.networks)
        params = [method_of(config).init(key, (28, 28, 3), 3).params for key in keys]
        ensemble = Ensemble(jax.tree.map(lambda *leaves: np.stack(leaves), *params), jnp.ones((2, 1, 1, 1, 3)))
        programs = ensemble_programs(config)._replace(saliency=None, adapt=None)
        return TrainedModel(ensemble, programs, default_card(SMALL))

    monkeypatch.setattr(default_model, "train_default_model", train)
    monkeypatch.setattr(default_model, "set_up_jax", lambda *_: None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert default_model.main([f"--data_dir={release}"]) == 0
    assert recipes == [PATCH_RECIPE]
    measured = load_model("default.lightman").about["measured"]
    assert measured["data"] == "36 clips of 6 subjects (CASME II, SMIC-HS; released 8-bit flow)"
    assert f"measured: UF1 {measured['uf1'][0]:.3f}" in capsys.readouterr().out
