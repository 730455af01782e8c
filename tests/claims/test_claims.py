"""The experiments on the abstract's claims: nobody is on two sides, disturbances are what they say, and rows are paired."""

import dataclasses
import importlib
import json

import numpy as np
import pytest

from experiments.claims import (
    ablations,
    efficiency,
    few_data,
    individuals,
    learners,
    people,
    robustness,
    subtlety,
    sweep,
)
from experiments.claims.learners import Learner, adapted_counts, evaluate, train_rounds
from experiments.claims.people import People, invent_people, keep_clips, share, shots, wrong_labels
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.folds import check_folds
from tests.inputs import make_clips, write_flow_release

command = importlib.import_module("experiments.claims.__main__")
NETWORK = NetworkConfig(width=4)
JOINT, MACHINE = Learner("joint", "joint"), Learner("machine", "rbf_svm")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"ROUNDS": 2, "TRAIN_PEOPLE": 2, "TEST_PEOPLE": 2, "STRANGERS": 1}.items():
        monkeypatch.setattr(people, name, value)
    original = Learner.config
    monkeypatch.setattr(Learner, "config", lambda *given: dataclasses.replace(original(*given), steps=2))
    people._filmed.cache_clear()
    yield
    people._filmed.cache_clear()


def check_stage(stage):
    macro = stage.micro if stage.macro is None else stage.macro
    together = stage.rounds if stage.same_people else [[fold for folds in stage.rounds for fold in folds]]
    for folds in together:
        check_folds(folds, stage.micro.subject, macro.subject)


@pytest.mark.parametrize("macro_people", ["own", "strangers"])
def test_populations_are_disjoint_and_thinning_keeps_every_class(macro_people):
    stage = invent_people(People(), macro_people)
    micro, macro = stage.micro, stage.macro
    for thinned, clips in ((keep_clips(stage, share(0.25)), 6), (keep_clips(stage, shots(1)), 3), (stage, 18)):
        check_stage(thinned)
        assert thinned.train_clips == clips
        for number, (fold,) in enumerate(thinned.rounds):
            assert len(fold.test) == 18
            assert {micro.subject[row] for row in np.flatnonzero(fold.train)} <= {f"p{number}/s0", f"p{number}/s1"}
            assert set(micro.label[fold.train]) == {0, 1, 2}
            met = {macro.subject[row] for row in np.flatnonzero(fold.macro_train)}
            assert met == ({f"p{number}/s0", f"p{number}/s1"} if macro_people == "own" else {f"p{number}/s4"})
    assert keep_clips(stage, share(0)).train_clips == 0


def test_macro_clips_as_labelled_clips_are_the_folds_own():
    stage = keep_clips(invent_people(People()), share(0.25))
    wider = learners._with_macro_labelled(stage)
    check_stage(wider)
    for number, ((before,), (after,)) in enumerate(zip(stage.rounds, wider.rounds, strict=True)):
        np.testing.assert_array_equal(after.test, before.test)
        added = np.flatnonzero(after.train)[before.train.sum() :]
        assert {wider.micro.subject[row] for row in added} == {f"p{number}/s0", f"p{number}/s1"}
        assert len(added) == before.macro_train.sum() == 12


@pytest.mark.parametrize("copies", [1, 2])
def test_wrong_labels_are_trained_on_and_never_tested(copies):
    """Rounds of different people share one copy of their clips; rounds of the same people have a copy each."""
    stage = invent_people(People())._replace(same_people=copies == 2)
    wrong, count = wrong_labels(stage, 0.5), len(stage.micro)
    check_stage(wrong)
    shares = []
    for number, (fold,) in enumerate(wrong.rounds):
        np.testing.assert_array_equal(fold.test, stage.rounds[number][0].test)
        np.testing.assert_array_equal(np.flatnonzero(fold.train) // count, 1 + number % copies)
        rows = np.flatnonzero(fold.train)
        truth = stage.micro.label[rows % count]
        np.testing.assert_array_equal(wrong.micro.image[rows], stage.micro.image[rows % count])
        shares.append(np.mean(wrong.micro.label[rows] != truth))
    assert 0.25 < np.mean(shares) < 0.75
    labels = wrong.micro.label.reshape(-1, count)
    assert [np.mean(own != labels[0]) for own in labels] == [0, *[0.5] * copies]
    np.testing.assert_array_equal(wrong_labels(stage, 0).micro.label, np.tile(stage.micro.label, 1 + copies))


def test_simulated_people_are_trained_on_in_every_fold_and_never_tested():
    groups = np.arange(18) // 9
    rounds = [
        [people.Fold(f"g{g} r{n}", np.flatnonzero(groups == g), groups != g, groups != g) for g in (0, 1)]
        for n in (0, 1)
    ]
    stage = people.Stage("", make_clips(subjects=6, each=1), None, rounds, {}, same_people=True)
    simulated_au, macro = (make_clips(subjects=n, each=1, corpus="simulated_au", seed=n) for n in (2, 1))
    joined = few_data.with_simulated(stage, 1, simulated_au, macro)
    check_stage(joined)
    assert [fold.name for fold in joined.rounds[0]] == ["g0 r1", "g1 r1"]
    for before, after in zip(rounds[1], joined.rounds[0], strict=True):
        np.testing.assert_array_equal(after.test, before.test)
        np.testing.assert_array_equal(np.flatnonzero(after.train)[9:], 18 + np.arange(6))
        assert after.macro_train.tolist() == [True] * 3
    assert len(set(joined.micro.clip)) == 18 + 6


def test_every_picture_disturbance_grows_with_its_strength():
    rng = np.random.default_rng(0)
    onset, apex = rng.integers(60, 180, size=(2, 96, 96, 3)).astype(np.uint8)
    for kind, (disturb, strengths) in robustness.PICTURES.items():
        pairs = [disturb(np.random.default_rng(1), onset, apex, strength) for strength in strengths]
        changes = [np.abs(after.astype(float) - apex).mean() for _, after in pairs]
        assert changes == sorted(changes), kind
        assert changes[0] > 0, kind
        assert all(picture.dtype == np.uint8 and picture.shape == apex.shape for pair in pairs for picture in pair)
        still = all((before == onset).all() for before, _ in pairs)
        assert still == kind.startswith("brightness"), "only a change of light leaves the onset alone"
    covered, also = robustness._occlude(rng, onset, apex, 0.5)
    assert (covered == also).all(axis=-1).sum() >= 48 * 48
    noisy, _ = robustness._gaussian(rng, onset, apex, 8)
    assert np.std(noisy.astype(float) - onset) == pytest.approx(8, rel=0.05)


def test_every_flow_disturbance_grows_with_its_strength():
    images = np.random.default_rng(0).uniform(0, 255, size=(6, 28, 28, 3)).astype(np.float32)
    for kind, (disturb, strengths) in robustness.FLOWS.items():
        changed = [disturb(np.random.default_rng(1), images, strength) for strength in strengths]
        # Noise in a noisy picture is as far away once it has moved by a pixel.
        changes = [np.abs(after - images).mean() for after in changed]
        assert changes[-1] > changes[0] > 0 or kind.startswith("face"), kind
        assert all(after.shape == images.shape and after.dtype == np.float32 for after in changed)


def test_slow_cameras_and_dropped_pictures_take_what_is_nearest_to_the_peak():
    frames = [np.full((4, 4, 3), k, np.uint8) for k in range(25)]
    clip = subtlety.InventedClip("micro", "negative", 1, (4,), 12, frames)
    for stride, reach in ((1, 0), (4, 2), (8, 6)):
        onset, apex = subtlety.every(stride)(np.random.default_rng(stride), clip)
        assert onset.max() < stride
        assert abs(int(apex.max()) - 12) <= reach
        assert apex.max() > onset.max()
    for seed in range(20):
        onset, apex = robustness._drop(np.random.default_rng(seed), clip, 0.9)
        assert apex.max() > onset.max()
        late = robustness._late_apex(np.random.default_rng(seed), clip, 4)[1].max()
        assert abs(int(late) - 12) == 4
    small = subtlety.sized(2)(
        np.random.default_rng(0), clip._replace(frames=[np.eye(4, dtype=np.uint8)[..., None].repeat(3, 2) * 200] * 25)
    )
    assert small[0].std() < 60


def test_another_camera_that_sees_the_same_is_told_the_same_and_rows_are_paired():
    stage = invent_people(People(), cameras={"same": people.onset_and_apex})
    for learner in (JOINT, MACHINE):
        found = evaluate(learner, stage, NETWORK)
        assert found.counts.shape == (2, 2, 3, 3)
        assert found.counts.sum(axis=(2, 3)).tolist() == [[9, 9], [9, 9]]
        np.testing.assert_array_equal(found.counts, found.views["same"])
        row = sweep.make_row("panel", "level", learner, stage, found.counts, found.counts)
        assert (row.difference, row.difference_sd, row.interval) == (0.0, 0.0, (0.0, 0.0))
        assert row.chance[0] < 1 / 3 < row.chance[1]
    # Without a clip that is given, adapted parameters predict what the trained ones predict.
    nothing = np.zeros(0, np.int64)
    asked = [[(nothing, fold.test) for fold in folds] for folds in stage.rounds]
    adapted = adapted_counts(JOINT, train_rounds(JOINT, stage, NETWORK), stage, asked, NETWORK)
    np.testing.assert_array_equal(adapted, evaluate(JOINT, stage, NETWORK).counts)


def test_a_right_reference_is_ahead_of_a_wrong_row():
    stage = invent_people(People())
    right = np.tile(3 * np.eye(3, dtype=int), (2, 2, 1, 1))
    row = sweep.make_row("panel", "level", JOINT, stage, np.roll(right, 1, axis=-1), right)
    assert (row.mean, row.difference, row.interval) == (0.0, 1.0, (1.0, 1.0))


def test_every_learner_has_valid_settings():
    for learner in (ablations.LIGHTMAN, *ablations.CHANGES, *ablations.SOURCES, ablations.STRANGERS):
        assert learner.config(NetworkConfig()).steps > 0
    assert len({learner.name for learner in ablations.CHANGES}) == len(ablations.CHANGES)


@pytest.fixture
def few(monkeypatch):
    """A level or two a panel, and networks only where a machine will not do: what remains is every path of the command."""
    for module in (few_data, individuals):
        monkeypatch.setattr(module, "USUAL", (JOINT, MACHINE))
    for module in (robustness, subtlety):
        monkeypatch.setattr(module, "USUAL", (MACHINE, dataclasses.replace(MACHINE, name="again")))
    small = {
        few_data: {"INVENTED_SHARES": (1.0,), "SHOTS": (1,), "SHARES": (0.0, 1.0)},
        individuals: {"VARIATIONS": (1.0,), "GIVEN": (0, 1)},
        robustness: {"FILM": 5, "WRONG_SHARES": (0.5,)},
        subtlety: {"INTENSITIES": (0.25,), "FILM": 5, "STRIDES": (1,), "SIDES": (24,)},
        efficiency: {"METHODS": ("joint",), "_OTHERS": (), "REPEATS": 1},
        ablations: {
            "CHANGES": (dataclasses.replace(MACHINE, name="changed"),),
            "SOURCES": (Learner("labelled", "rbf_svm", macro="labelled"),),
            "LIGHTMAN": MACHINE,
            "STRANGERS": dataclasses.replace(MACHINE, name="strangers"),
        },
    }
    for module, values in small.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(robustness, "PICTURES", dict(list(robustness.PICTURES.items())[:1]))
    for module in (people, few_data, command):
        monkeypatch.setattr(module, "ROUNDS", 1)
    simulated_au = tuple(make_clips(subjects=n, each=1, side=28, corpus="simulated_au") for n in (3, 2))
    monkeypatch.setattr(few_data, "simulate", lambda number: (*simulated_au, []))
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)


def test_every_experiment_leaves_a_table_and_a_picture(few, tmp_path):
    assert command.main([f"--workdir={tmp_path / 'own'}", "--width=4"]) == 0
    data = write_flow_release(tmp_path / "data", subjects=6, each=1)
    real = ("robustness", "ablations")
    assert command.main([*real, f"--workdir={tmp_path / 'real'}", "--width=4", f"--data_dir={data}"]) == 0
    assert {*real, "few_data"} == {*command.ON_FLOW}
    for folder, names in (("own", command.CLAIMS), ("real", real)):
        for name in names:
            content = json.loads((tmp_path / folder / f"{name}.json").read_text())
            assert content["rows"]
            assert ("invented" in content["data"]) == (folder == "own" and name != "efficiency")
            assert (tmp_path / folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_few_data_on_the_flow_release_has_three_panels(few, tmp_path):
    data = write_flow_release(tmp_path / "data", subjects=6, each=1)
    rows = list(few_data.run(data, NETWORK))
    assert [row.panel for row in rows] == [few_data.PANELS[0]] * 2 + [few_data.PANELS[1]] * 4 + [few_data.PANELS[2]] * 2
    machine = rows[0]
    assert (machine.learner, machine.level, machine.difference) == ("machine", "100%", None)
    assert [row.level for row in rows if row.difference is None] == ["100%", "0%", "0%", "0%"]


def test_wrong_uses_are_answered(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)
    data = write_flow_release(tmp_path / "data", subjects=6, each=1)
    for words, answer in (
        (["robust"], "choose one of few_data"),
        (["--backbone=conv9"], "conv9"),
        (["subtlety", f"--data_dir={data}"], "leave --data_dir out"),
        (["individuals", f"--data_dir={data}"], "--protocol=personal"),
        (["few_data", f"--data_dir={tmp_path / 'none'}"], "none"),
    ):
        assert command.main([*words, f"--workdir={tmp_path / 'out'}"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert answer in error
