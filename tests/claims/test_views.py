"""The study of views: what it runs on, that networks adapt to one subject at a time, and that rows are paired."""

import dataclasses
import importlib
import json
import shutil

import jax
import numpy as np
import pytest

from experiments.claims import subjects, views
from experiments.claims.contenders import Contender
from experiments.claims.subjects import StudyData
from experiments.evaluation import classical_baselines
from lightman_jax.networks.dual_branch import VIEW_NETWORKS, NetworkConfig
from lightman_jax.preprocessing import scale_flow
from lightman_jax.training import cross_validation
from lightman_jax.training.cross_validation import TrainedFold
from lightman_jax.training.devices import job_mesh
from lightman_jax.training.folds import Fold
from tests.claims.test_claims import WITH_DATA
from tests.inputs import make_clips, write_flow_release

command = importlib.import_module("experiments.claims.__main__")
NETWORK = NetworkConfig(width=4)


def write_releases(folder, subjects=6):
    """Folders of both releases of the same clips, joined by a comma."""
    first, second = (write_flow_release(folder / name, subjects, each=1, seed=k) for k, name in enumerate("ab"))
    for image in [*second.rglob("* .png")]:
        shutil.copy(image, image.with_name(image.name.replace(" .png", "_1 .png")))
    return f"{first},{second}"


@pytest.fixture
def two_groups():
    """Two rounds of two folds of three subjects each."""
    groups = np.arange(18) // 9
    rounds = [
        [Fold(f"g{g} r{n}", np.flatnonzero(groups == g), groups != g, groups != g) for g in (0, 1)] for n in (0, 1)
    ]
    return StudyData("", make_clips(subjects=6, each=1), None, rounds, {}, same_subjects=True)


def test_the_same_networks_adapt_to_the_clips_of_one_subject_at_a_time(two_groups, monkeypatch):
    trained, predicted = [], []

    def train(micro, macro, folds, replicas, config):
        assert config.auxiliary == "views"
        trained.extend(fold.name for fold in folds)
        return [TrainedFold(fold, 0, {"of": fold.name}, {}) for fold in folds]

    def predict(pairs, images, config, *, align_steps):
        for fold, params in pairs:
            assert params == {"of": fold.name}
            predicted.append((align_steps, fold.name, {two_groups.micro.subject[row] for row in fold.test}))
        return [np.eye(3)[two_groups.micro.label[fold.test]] for fold, _ in pairs]

    monkeypatch.setattr(views, "train_folds", train)
    monkeypatch.setattr(views, "predict_folds", predict)
    rows = list(views.adapted(two_groups, NETWORK))
    assert [level for level, _, _ in rows] == [str(steps) for steps in views.STEPS]
    assert trained == ["g0 r0", "g1 r0", "g0 r1", "g1 r1"], "trained once for all numbers of steps"
    assert len(predicted) == len(views.STEPS) * 2 * 6
    assert all(len(owners) == 1 for _, _, owners in predicted)
    for _, _, counts in rows:
        np.testing.assert_array_equal(counts, np.tile(np.eye(3, dtype=int), (2, 6, 1, 1)))


def test_the_study_runs_on_several_views_only(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)
    ran = []
    monkeypatch.setattr(command, "_run", lambda name, *_: ran.append(name))
    both = write_releases(tmp_path)
    assert command.main([f"--workdir={tmp_path}", f"--data_dir={both}"]) == 0
    assert ran == [*WITH_DATA, "views"]
    for words, answer in ((["views"], "by --data_dir"), (["views", f"--data_dir={both.split(',')[0]}"], "have one")):
        assert command.main([*words, f"--workdir={tmp_path}"]) == 2
        assert answer in capsys.readouterr().err


def test_every_candidate_has_valid_settings():
    networks = [one.config(NETWORK) for one in views.CANDIDATES.values() if one.method == "lightman"]
    assert {config.network.view_network for config in networks} == set(VIEW_NETWORKS)
    assert len(set(networks)) == len(networks)


@pytest.mark.slow
def test_the_study_writes_paired_rows_of_every_question(monkeypatch, tmp_path):
    original = Contender.config
    monkeypatch.setattr(Contender, "config", lambda *given: dataclasses.replace(original(*given), steps=2))
    monkeypatch.setattr(cross_validation, "job_mesh", lambda jobs, tasks: job_mesh(1, 1))
    monkeypatch.setattr(
        classical_baselines, "scale_flow", jax.jit(scale_flow, static_argnames=("scaling", "views", "channels"))
    )
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)
    for module in (subjects, command):
        monkeypatch.setattr(module, "ROUNDS", 1)
    few = {name: views.CANDIDATES[name] for name in ("joined, linear", "joined, RBF")}
    again = dataclasses.replace(views.VIEWS, name="again")
    small = {"CANDIDATES": few, "MAGNIFIED": again, "SHARES": (1.0,), "STEPS": (0, 1)}
    for name, value in small.items():
        monkeypatch.setattr(views, name, value)
    data = write_releases(tmp_path / "data")
    assert command.main(["views", f"--data_dir={data}", f"--workdir={tmp_path / 'out'}", "--width=4"]) == 0
    content = json.loads((tmp_path / "out" / "views.json").read_text())
    assert content["data"].endswith("views megc2019_rise, causalnet_rise, causalnet_fall")
    rows = content["rows"]
    panels = ["network", "fraction of the clips, extractions", "inner steps at test time, extractions"]
    assert [row["panel"] for row in rows] == [panel for panel in panels for _ in range(2)]
    assert [row["difference"] is None for row in rows] == [True, False] * 3
    assert rows[3]["contender"] == rows[4]["contender"] == "views aligned"
    assert rows[2]["uf1"] == rows[3]["uf1"], "same settings, folds and random numbers"
    # Networks that are not adapted predict a group of subjects as they predict each subject alone.
    assert rows[4]["uf1"] == rows[3]["uf1"]
    assert (tmp_path / "out" / "views.png").exists()
