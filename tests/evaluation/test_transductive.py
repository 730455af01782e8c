"""Adaptation to the views of unlabelled test clips: a protocol of its own, named in every file, against unadapted networks."""

import csv
import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import rerun
from experiments.cli.config import parse_config
from experiments.cli.flags import ConfigError
from experiments.cli.terminal import PlainConsole
from experiments.evaluation import protocols
from experiments.evaluation.protocols import plan_run
from experiments.train import train_and_evaluate
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import trained_shapes
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.prediction import predict_folds
from tests.data.corpora.flow_trees import write_release
from tests.inputs import make_clips

CLIPS = {("smic", f"s{subject:02}", f"s{subject:02}_{name}_01"): label
         for subject in (1, 2, 3) for label, name in enumerate(("ne", "po", "sur"))}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transductive")
    first = write_release(folder / "first", clips=CLIPS)
    second = write_release(folder / "second", added=(1, 2, 3), clips=CLIPS)
    words = ["--dataset=smic", f"--data_dir={first},{second}", "--protocol=transductive", "--steps=2", "--seeds=1"]
    words += [
        "--method=lightman_fo",
        "--width=4",
        "--ensemble_size=1",
        "--baselines=majority",
        f"--workdir={folder / 'run'}",
    ]
    config = parse_config([*words, f"--data_cache={folder / 'cache'}"])
    return folder / "run", train_and_evaluate(config, PlainConsole(quiet=True))


@pytest.mark.slow
def test_every_file_names_the_adaptation_to_test_clips(run):
    workdir, result = run
    assert result.protocol == "transductive"
    assert "TRANSDUCTIVE: 5 inner steps on the views of the unlabelled clips of the test subject" in result.rule
    assert "transductive" in result.title
    stored = json.loads((workdir / "metrics.json").read_text())
    assert "TRANSDUCTIVE" in stored["rule"]
    assert "TRANSDUCTIVE" in (workdir / "report.html").read_text()


@pytest.mark.slow
def test_the_unadapted_networks_are_a_baseline(run):
    workdir, result = run
    assert [baseline.name for baseline in result.baselines] == ["unadapted", "majority"]
    tables = [
        list(csv.reader(line for line in path.read_text().splitlines() if not line.startswith("#")))
        for path in (workdir / "predictions.csv", workdir / "baselines" / "unadapted.csv")
    ]
    assert tables[0][0] == tables[1][0]
    assert tables[0] != tables[1]


@pytest.mark.slow
def test_a_fold_is_reproduced_with_its_adaptation_and_the_views_are_recorded(run, monkeypatch, capsys):
    workdir, _ = run
    trained = json.loads((workdir / "config.json").read_text())["trained"]
    assert (trained["network"]["views"], trained["network"]["extractions"]) == (3, [[0], [1, 2]])
    assert trained["auxiliary"] == "views"
    monkeypatch.setattr(rerun, "set_up_jax", lambda *_, **__: None)
    assert rerun.main([str(workdir), "--fold=smic/s1"]) == 0
    assert "all probabilities are bit-identical" in capsys.readouterr().out


@pytest.mark.slow
def test_adaptation_uses_no_label_of_a_test_clip():
    one, other = make_clips(subjects=3), make_clips(subjects=3, seed=1)
    micro = dataclasses.replace(one, image=np.stack([one.image, other.image], axis=1), views=("dis_rise", "tvl1_rise"))
    config = TrainConfig(steps=2, auxiliary="views")
    network = dataclasses.replace(config.network, width=4, embedding=4, views=2)
    config = dataclasses.replace(config, network=network)
    folds = leave_one_subject_out(micro.subject)
    rng = np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype) / 4  # noqa: E731
    trained = [(folds[0], jax.tree.map(draw, trained_shapes(micro, config)))]
    found, unadapted = (predict_folds(trained, micro.image, config, align_steps=steps)[0] for steps in (3, 0))
    assert np.abs(found - unadapted).max() > 1e-5
    # Clips of other subjects do not take part in the adaptation.
    changed = np.array(micro.image)
    changed[folds[0].train] = 7
    np.testing.assert_array_equal(predict_folds(trained, changed, config, align_steps=3)[0], found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method=maml"], "maml aligns no views; transductive needs --method=lightman"),
        (["--auxiliary=magnified"], "add --auxiliary=views, not magnified"),
        ([], "add --views=farneback_rise,dis_rise"),
    ],
)
def test_what_cannot_adapt_to_views_is_refused(words, message, monkeypatch):
    prepared = SimpleNamespace(micro=make_clips(subjects=3), macro=None, manifest=None)
    plan = SimpleNamespace(folds=[], missing=[])
    monkeypatch.setattr(protocols, "load_data", lambda *_: prepared)
    monkeypatch.setattr(protocols.Protocol, "plan", lambda *_: plan)
    plan._replace = lambda **_: plan
    with pytest.raises(ConfigError, match=message):
        plan_run(parse_config(["--protocol=transductive", *words]), PlainConsole(quiet=True))
