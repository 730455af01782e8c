"""The study on training with measured heads: its rows, and sizes that are chosen without a look at the other corpus."""

import dataclasses
import importlib
import json

import numpy as np
import pytest

from experiments.claims import measured_training, simulated_training, transfer
from experiments.claims.measured_training import (
    CROP_RANGES,
    RANGES,
    Panels,
    Population,
    Sizes,
    draw_sizes,
    mean_of_best,
)
from lightman_jax.data.synthetic.face_geometry import neutral_file
from lightman_jax.data.synthetic.measured_expressions import Crop, MeasuredVariation
from lightman_jax.types import ClipSet
from tests.inputs import make_clips, write_flow_release

command = importlib.import_module("experiments.claims.__main__")
VIEWS = ("megc2019_rise", "causalnet_rise")


def two_corpora(side=8):
    """Clips of two corpora."""
    one, other = (
        make_clips(subjects=4, side=side, seed=seed, corpus=name) for seed, name in enumerate(("smic", "casme2"))
    )
    return one.join(other)


def test_sizes_are_drawn_from_the_stated_ranges():
    draws = [draw_sizes(np.random.default_rng(seed), 2) for seed in range(300)]
    for field in dataclasses.fields(MeasuredVariation):
        low, high = RANGES[field.name]
        values = [getattr(one.variation, field.name) for one in draws]
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high >= max(values) > high - 0.05 * (high - low)
        assert low <= getattr(MeasuredVariation(), field.name) <= high
    for view in range(2):
        crops = [one.crops[view] for one in draws]
        for name, of in (("y", lambda crop: crop.y), ("aspect", lambda crop: crop.half_height / crop.half_width)):
            low, high = CROP_RANGES[name]
            assert low - 1e-9 <= min(map(of, crops)) < max(map(of, crops)) <= high + 1e-9


def test_the_best_draws_of_each_release_give_its_crop_and_those_of_all_the_sizes(monkeypatch):
    monkeypatch.setattr(measured_training, "BEST", 2)
    draws = [
        Sizes(MeasuredVariation(shift=float(k)), (Crop(0.0, k, 5.0, 5.0), Crop(0.0, -k, 6.0, 6.0))) for k in range(4)
    ]
    scores = np.array([[0.9, 0.1, 0.1], [0.8, 0.2, 0.9], [0.1, 0.9, 0.1], [0.1, 0.8, 0.8]])
    chosen = mean_of_best(draws, scores)
    assert chosen.variation == dataclasses.replace(MeasuredVariation(), shift=2.0)
    assert chosen.crops == (Crop(0.0, 0.5, 5.0, 5.0), Crop(0.0, -2.5, 6.0, 6.0))


def test_sizes_chosen_on_one_corpus_do_not_depend_on_the_labels_of_the_other(monkeypatch, tmp_path):
    real = two_corpora()
    monkeypatch.setattr(measured_training, "DRAWS", 6)
    monkeypatch.setattr(measured_training, "BEST", 2)

    def populations(self, function, size, sizes):
        for number in range(len(sizes)):
            rng = np.random.default_rng(number)
            yield Population(rng.normal(size=(12, 2, 8, 8, 3)).astype(np.float32), np.arange(12, dtype=np.int32) % 3)

    monkeypatch.setattr(Panels, "populations", populations)
    chosen = Panels(dict.fromkeys(VIEWS, real), tmp_path).chosen(["casme2", "smic"])
    assert chosen["casme2"] != chosen["smic"]
    other = np.array(real.dataset) == "casme2"
    relabelled = dataclasses.replace(real, label=np.where(other, (real.label + 1) % 3, real.label).astype(np.int32))
    again = Panels(dict.fromkeys(VIEWS, relabelled), tmp_path).chosen(["casme2", "smic"])
    assert again["smic"] == chosen["smic"]
    assert again["casme2"] != chosen["casme2"]


def test_decisions_are_the_mean_over_a_clip_and_its_mirror_image():
    train, real = make_clips(subjects=3, side=8, seed=1), make_clips(subjects=2, side=8, seed=2)
    mirrored = real.image[:, :, ::-1] * np.array([-1, 1, 1], np.float32)
    found = [transfer.svm_decisions(train.image, train.label, images) for images in (real.image, mirrored)]
    np.testing.assert_allclose(*found, atol=1e-5)
    assert found[0].shape == (len(real), 3)
    assert (transfer.classes(found[0]) == real.label).mean() > 0.5


@pytest.fixture
def tiny(monkeypatch):
    """One population of a few clips per panel, and a network that knows the answer."""
    small = dataclasses.replace(measured_training.FEW, subjects=1, micro_clips=1)
    for name, value in {
        "CLIPS": small,
        "FEWER": small,
        "FEW": small,
        "DRAWS": 2,
        "BEST": 1,
        "ROUNDS": 1,
        "FACE_SIDE": 48,
    }.items():
        monkeypatch.setattr(measured_training, name, value)
    monkeypatch.setattr(simulated_training, "SIMULATED", dataclasses.replace(small, macro_clips=1))
    for module in (simulated_training, command):
        monkeypatch.setattr(module, "ROUNDS", 1)

    def network_decisions(micro, macro, real, config, seed):
        assert isinstance(micro, ClipSet)
        assert macro is None
        return np.eye(3)[real.label]

    monkeypatch.setattr(measured_training, "network_decisions", network_decisions)
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)


@pytest.mark.slow
def test_the_study_on_measured_heads_writes_every_panel(tiny, facekit, tmp_path):
    data = write_flow_release(tmp_path / "data", subjects=3, each=1, corpora=("smic", "casme2"))
    out = tmp_path / "out"
    words = ["simulated_training", f"--data_dir={data}", f"--geometry={facekit}", f"--workdir={out}"]
    assert command.main(words) == 0
    content = json.loads((out / "simulated_training.json").read_text())
    assert content["data"].endswith("; measured face geometry of ICT-FaceKit")
    levels = {}
    for row in content["rows"]:
        levels.setdefault(row["panel"], {}).setdefault(row["level"], []).append(row["contender"])
    every = ["all", "casme2", "smic"]
    assert levels.pop("classifiers, first release") == {"SVM": every, "network, joint": every}
    sources = levels.pop("source of the training clips, first release")
    assert list(sources) == ["patches", *measured_training.SOURCES, measured_training.SUM]
    assert levels.pop("sizes chosen on casme2, first release") == {"SVM": ["smic"]}
    assert levels.pop("sizes chosen on smic, first release") == {"SVM": ["casme2"]}
    without = levels.pop("without one variation, first release")
    assert list(without)[:2] == ["nothing", "shift"]
    assert not levels
    assert not [name for name in without if name.endswith("_reach")]
    assert [row["uf1"] for row in content["rows"] if row["level"] == "network, joint"] == [[1.0]] * 3


def test_geometry_is_refused_where_no_head_is_simulated_or_none_is_found(facekit, tmp_path, capsys):
    data = write_flow_release(tmp_path / "data", subjects=6, each=1)
    for words, answer in (
        (["leaks", f"--geometry={facekit}"], "leaks simulate no measured heads; leave --geometry out"),
        (["simulated_training", f"--geometry={tmp_path}"], "has no FaceXModel/generic_neutral_mesh.obj"),
    ):
        assert command.main([*words, f"--data_dir={data}", f"--workdir={tmp_path / 'out'}"]) == 2
        assert answer in capsys.readouterr().err


def test_every_view_of_a_task_has_its_images(facekit):
    config = dataclasses.replace(measured_training.FEW, subjects=1, micro_clips=1, geometry=neutral_file(facekit))
    clip = simulated_training.simulated_au.simulated_au_reading(config).clips[0]
    task = measured_training.Task(clip, Sizes(), VIEWS)
    flow, sources = measured_training.flow_images(task), measured_training.source_images(task)
    assert flow.shape == (2, 28, 28, 3)
    assert sources.shape == (len(measured_training.SOURCES), 2, 28, 28, 3)
    np.testing.assert_array_equal(sources[1], flow)
    assert np.abs(flow[0] - flow[1]).max() > 0
