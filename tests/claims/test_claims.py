"""The studies on the abstract's claims: no subject is trained and tested on, disturbances are as described, and rows are paired."""

import dataclasses
import functools
import importlib
import json

import jax
import numpy as np
import pytest

from experiments.claims import (
    ablations,
    alignment,
    contenders,
    efficiency,
    few_data,
    head_motion,
    leaks,
    robustness,
    simulated_training,
    spotting,
    subject_differences,
    subjects,
    subtlety,
    sweep,
    transfer,
)
from experiments.claims.contenders import Contender, adapted_counts, evaluate, train_rounds
from experiments.claims.subjects import StudyData, keep_clips, share, shots, synthetic_subjects, wrong_labels
from experiments.evaluation import classical_baselines
from lightman_jax.data.vision.spotting import Search
from lightman_jax.metrics import chance_band
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import scale_flow
from lightman_jax.training import cross_validation
from lightman_jax.training.devices import job_mesh
from lightman_jax.training.folds import Fold, check_folds
from tests.inputs import make_clips, write_flow_release

command = importlib.import_module("experiments.claims.__main__")
NETWORK = NetworkConfig(width=4)
WITHOUT_DATA = ["few_data", "subtlety", "subject_differences", "robustness", "efficiency", "ablations"]
ON_HEADS = ["head_motion", "spotting"]
WITH_DATA = ["few_data", "robustness", "ablations", "alignment", "simulated_training", "leaks"]
JOINT, SVM = Contender("joint", "joint"), Contender("SVM", "rbf_svm")


@pytest.fixture(autouse=True, scope="module")
def few_subjects():
    """Two rounds of two training, two test and one other subject; trainings of two steps on one device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "job_mesh", lambda jobs, tasks: job_mesh(1, 1))
        patch.setattr(sweep, "chance_band", functools.partial(chance_band, replicates=100))
        # Compiled as a whole, since each number of clips is a new shape.
        for module in (classical_baselines, transfer):
            patch.setattr(module, "scale_flow", jax.jit(scale_flow, static_argnames=("scaling", "views", "channels")))
        for name, value in {"ROUNDS": 2, "TRAIN_SUBJECTS": 2, "TEST_SUBJECTS": 2, "OTHER_SUBJECTS": 1}.items():
            patch.setattr(subjects, name, value)
        original = Contender.config
        patch.setattr(Contender, "config", lambda *given: dataclasses.replace(original(*given), steps=2))
        subjects._simulate.cache_clear()
        yield
    subjects._simulate.cache_clear()


def check_data(data):
    macro = data.micro if data.macro is None else data.macro
    together = data.rounds if data.same_subjects else [[fold for folds in data.rounds for fold in folds]]
    for folds in together:
        check_folds(folds, data.micro.subject, macro.subject)


@pytest.mark.parametrize("macro_subjects", ["own", "others"])
def test_populations_are_disjoint_and_reduced_training_sets_keep_every_class(macro_subjects):
    data = synthetic_subjects(macro_subjects=macro_subjects)
    micro, macro = data.micro, data.macro
    for reduced, clips in ((keep_clips(data, share(0.25)), 6), (keep_clips(data, shots(1)), 3), (data, 18)):
        check_data(reduced)
        assert reduced.train_clips == clips
        for number, (fold,) in enumerate(reduced.rounds):
            assert len(fold.test) == 18
            assert {micro.subject[row] for row in np.flatnonzero(fold.train)} <= {f"p{number}/s0", f"p{number}/s1"}
            assert set(micro.label[fold.train]) == {0, 1, 2}
            shown = {macro.subject[row] for row in np.flatnonzero(fold.macro_train)}
            assert shown == ({f"p{number}/s0", f"p{number}/s1"} if macro_subjects == "own" else {f"p{number}/s4"})
    assert keep_clips(data, share(0)).train_clips == 0


def test_macro_clips_used_as_labelled_clips_are_those_of_the_fold():
    data = keep_clips(synthetic_subjects(), share(0.25))
    wider = contenders.label_macro_clips(data)
    check_data(wider)
    for number, ((before,), (after,)) in enumerate(zip(data.rounds, wider.rounds, strict=True)):
        np.testing.assert_array_equal(after.test, before.test)
        added = np.flatnonzero(after.train)[before.train.sum() :]
        assert {wider.micro.subject[row] for row in added} == {f"p{number}/s0", f"p{number}/s1"}
        assert len(added) == before.macro_train.sum() == 12


@pytest.mark.parametrize("copies", [1, 2])
def test_wrong_labels_are_used_in_training_only(copies):
    """Rounds of different subjects share one copy of their clips; rounds of the same subjects have one copy each."""
    data = synthetic_subjects()._replace(same_subjects=copies == 2)
    wrong, count = wrong_labels(data, 0.5), len(data.micro)
    check_data(wrong)
    shares = []
    for number, (fold,) in enumerate(wrong.rounds):
        np.testing.assert_array_equal(fold.test, data.rounds[number][0].test)
        np.testing.assert_array_equal(np.flatnonzero(fold.train) // count, 1 + number % copies)
        rows = np.flatnonzero(fold.train)
        truth = data.micro.label[rows % count]
        np.testing.assert_array_equal(wrong.micro.image[rows], data.micro.image[rows % count])
        shares.append(np.mean(wrong.micro.label[rows] != truth))
    assert 0.25 < np.mean(shares) < 0.75
    assert len(set(wrong.micro.clip)) == len(wrong.micro)
    labels = wrong.micro.label.reshape(-1, count)
    assert [np.mean(own != labels[0]) for own in labels] == [0, *[0.5] * copies]
    np.testing.assert_array_equal(wrong_labels(data, 0).micro.label, np.tile(data.micro.label, 1 + copies))


def test_simulated_clips_are_used_in_training_only():
    groups = np.arange(18) // 9
    rounds = [
        [Fold(f"g{g} r{n}", np.flatnonzero(groups == g), groups != g, groups != g) for g in (0, 1)] for n in (0, 1)
    ]
    data = StudyData("", make_clips(subjects=6, each=1), None, rounds, {}, same_subjects=True)
    simulated, macro = (make_clips(subjects=n, each=1, corpus="simulated_au", seed=n) for n in (2, 1))
    joined = few_data.with_simulated(data, 1, simulated, macro)
    check_data(joined)
    assert [fold.name for fold in joined.rounds[0]] == ["g0 r1", "g1 r1"]
    for before, after in zip(rounds[1], joined.rounds[0], strict=True):
        np.testing.assert_array_equal(after.test, before.test)
        np.testing.assert_array_equal(np.flatnonzero(after.train)[9:], 18 + np.arange(6))
        assert after.macro_train.tolist() == [True] * 3
    assert len(set(joined.micro.clip)) == 18 + 6


def test_leaks_add_test_clips_or_divide_subjects_and_change_nothing_else():
    groups = np.arange(18) // 9
    folds = [Fold(f"g{g}", np.flatnonzero(groups == g), groups != g, groups != g) for g in (0, 1)]
    data = StudyData("", make_clips(subjects=6, each=1), None, [folds, folds], {}, same_subjects=True)
    leaking = leaks.with_test_clips(data, 0.5)
    for number in (0, 1):
        added = [after.train & ~before.train for before, after in zip(folds, leaking.rounds[number], strict=True)]
        assert all(not (rows & fold.train).any() for rows, fold in zip(added, folds, strict=True))
        assert 3 <= sum(rows.sum() for rows in added) <= 15
        with pytest.raises(ValueError, match="test subject"):
            check_folds(leaking.rounds[number], data.micro.subject, data.micro.subject)
        divided = leaks.folds_of_clips(data).rounds[number]
        assert sorted(np.concatenate([fold.test for fold in divided])) == list(range(18))
        assert all((fold.train == ~np.isin(np.arange(18), fold.test)).all() for fold in divided)
    assert all(fold.train.all() for fold in leaks.with_test_clips(data, 1.0).rounds[0])


def test_every_image_disturbance_grows_with_its_strength():
    rng = np.random.default_rng(0)
    pair = rng.integers(60, 180, size=(2, 96, 96, 3)).astype(np.uint8)
    for kind, (disturb, strengths) in robustness.IMAGE_CHANGES.items():
        pairs = [disturb(np.random.default_rng(1), pair, strength) for strength in strengths]
        changes = [np.abs(after.astype(float) - pair[1]).mean() for _, after in pairs]
        assert changes == sorted(changes), kind
        assert changes[0] > 0, kind
        assert all(changed.dtype == np.uint8 and changed.shape == pair.shape for changed in pairs)
        unchanged_onset = all((before == pair[0]).all() for before, _ in pairs)
        assert unchanged_onset == kind.startswith("brightness"), "only a change of brightness keeps the onset"
    covered, also_covered = robustness._occlude(rng, pair, 0.5)
    assert (covered == also_covered).all(axis=-1).sum() >= 48 * 48
    noisy, _ = robustness._gaussian(rng, pair, 8)
    assert np.std(noisy.astype(float) - pair[0]) == pytest.approx(8, rel=0.05)


def test_every_flow_disturbance_grows_with_its_strength():
    images = np.random.default_rng(0).uniform(0, 255, size=(6, 28, 28, 3)).astype(np.float32)
    for kind, (disturb, strengths) in robustness.FLOW_CHANGES.items():
        changed = [disturb(np.random.default_rng(1), images, strength) for strength in strengths]
        # Noise that is shifted by one pixel differs from itself as much as noise that is shifted further.
        changes = [np.abs(after - images).mean() for after in changed]
        assert changes[-1] > changes[0] > 0 or kind.startswith("shift"), kind
        assert all(after.shape == images.shape and after.dtype == np.float32 for after in changed)


def test_slow_cameras_and_dropped_frames_use_the_frame_nearest_to_the_apex():
    frames = [np.full((4, 4, 3), k, np.uint8) for k in range(25)]
    clip = subtlety.SyntheticClip("micro", "negative", 1, (4,), 12, frames)
    for stride, reach in ((1, 0), (4, 2), (8, 6)):
        onset, apex = subtlety.every(stride)(np.random.default_rng(stride), clip)
        assert onset.max() < stride
        assert abs(int(apex.max()) - 12) <= reach
        assert apex.max() > onset.max()
    for seed in range(20):
        onset, apex = robustness._drop_frames(np.random.default_rng(seed), clip, 0.9)
        assert apex.max() > onset.max()
        misplaced = robustness._misplace_apex(np.random.default_rng(seed), clip, 4)[1].max()
        assert abs(int(misplaced) - 12) == 4
    small = subtlety.resized(2)(
        np.random.default_rng(0), clip._replace(frames=[np.eye(4, dtype=np.uint8)[..., None].repeat(3, 2) * 200] * 25)
    )
    assert small[0].std() < 60


def test_a_right_reference_is_ahead_of_a_wrong_row():
    data = synthetic_subjects()
    right = np.tile(3 * np.eye(3, dtype=int), (2, 2, 1, 1))
    row = sweep.make_row("panel", "level", JOINT, data, np.roll(right, 1, axis=-1), right)
    assert (row.mean, row.difference, row.interval) == (0.0, 1.0, (1.0, 1.0))


def test_every_contender_has_valid_settings():
    for contender in (ablations.LIGHTMAN, *ablations.CHANGES, *ablations.SOURCES, ablations.OTHERS):
        assert contender.config(NetworkConfig()).steps > 0
    assert len({contender.name for contender in ablations.CHANGES}) == len(ablations.CHANGES)


@pytest.mark.slow
def test_a_camera_with_the_same_view_gives_the_same_predictions_and_rows_are_paired():
    data = synthetic_subjects(cameras={"same": subjects.onset_and_apex})
    for contender in (JOINT, SVM):
        found = evaluate(contender, data, NETWORK)
        assert found.counts.shape == (2, 2, 3, 3)
        assert found.counts.sum(axis=(2, 3)).tolist() == [[9, 9], [9, 9]]
        np.testing.assert_array_equal(found.counts, found.views["same"])
        row = sweep.make_row("panel", "level", contender, data, found.counts, found.counts)
        assert (row.difference, row.difference_sd, row.interval) == (0.0, 0.0, (0.0, 0.0))
        assert row.chance[0] < 1 / 3 < row.chance[1]
        if contender == JOINT:
            trained = found.counts
    # Without labelled clips, adapted parameters predict the same as the trained ones.
    nothing = np.zeros(0, np.int64)
    episodes = [[(nothing, fold.test) for fold in folds] for folds in data.rounds]
    adapted = adapted_counts(JOINT, train_rounds(JOINT, data, NETWORK), data, episodes, NETWORK)
    np.testing.assert_array_equal(adapted, trained)


@pytest.fixture
def few_levels(monkeypatch):
    """One or two levels per panel, and networks only where an SVM is not sufficient: every path of the command remains."""
    for module in (few_data, subject_differences):
        monkeypatch.setattr(module, "CONTENDERS", (JOINT, SVM))
    for module in (robustness, subtlety):
        monkeypatch.setattr(module, "CONTENDERS", (SVM, dataclasses.replace(SVM, name="again")))
    small = {
        few_data: {"SYNTHETIC_SHARES": (1.0,), "SHOTS": (1,), "SHARES": (0.0, 1.0)},
        subject_differences: {"VARIATIONS": (1.0,), "LABELLED": (0, 1)},
        robustness: {"VIDEO_LENGTH": 5, "WRONG_SHARES": (0.5,)},
        subtlety: {"INTENSITIES": (0.25,), "VIDEO_LENGTH": 5, "STRIDES": (1,), "SIDES": (24,)},
        efficiency: {"METHODS": ("joint",), "_NETWORKS": (), "REPEATS": 1},
        head_motion: {"PIXELS": (1.0,), "UNITS": ((12,),), "POSES": dict([*head_motion.POSES.items()][:2])},
        spotting: {
            "PIXELS": (1.0,),
            "HEADS": {"rest": spotting.HEADS["rest"]},
            **{"VIDEOS": 1, "MOVEMENTS": 1, "SIZE": (120, 160), "SIDES": (80, 81)},
            "search_movements": lambda frames, fps, config: Search((), (), (), len(list(frames)), True),
        },
        alignment: {
            "SHARES": (1.0,),
            "OTHER_WEIGHTS": (),
            "PANELS": {"panel": (SVM, dataclasses.replace(SVM, name="labelled", macro="labelled"))},
            **{name: dataclasses.replace(SVM, name=name) for name in ("WITHOUT", "ALIGNED", "LABELLED")},
            "MACRO": dataclasses.replace(alignment.MACRO, subjects=2, macro_clips=1),
        },
        leaks: {"CONTENDERS": (SVM,), "SHARES": (1.0,)},
        ablations: {
            "CHANGES": (dataclasses.replace(SVM, name="changed"),),
            "SOURCES": (Contender("labelled", "rbf_svm", macro="labelled"),),
            "LIGHTMAN": SVM,
            "OTHERS": dataclasses.replace(SVM, name="others"),
        },
        simulated_training: {
            # As many clips as the synthetic subjects have, so that one compiled program trains on either.
            "SIMULATED": dataclasses.replace(simulated_training.SIMULATED, subjects=3, micro_clips=6, macro_clips=6),
            "NETWORK_STEPS": 2,
            "METHODS": ("joint",),
        },
    }
    for module, values in small.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    for name in ("IMAGE_CHANGES", "FRAME_CHANGES", "FLOW_CHANGES"):
        kind, (change, strengths) = next(iter(getattr(robustness, name).items()))
        monkeypatch.setattr(robustness, name, {kind: (change, strengths[:1])})
    for module in (subjects, few_data, alignment, simulated_training, command):
        monkeypatch.setattr(module, "ROUNDS", 1)
    subjects._simulate.cache_clear()
    simulated = tuple(make_clips(subjects=n, each=1, side=28, corpus="simulated_au") for n in (3, 2))
    monkeypatch.setattr(few_data, "simulate", lambda number: (*simulated, []))
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)
    yield
    subjects._simulate.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "source"),
    [*((name, "synthetic") for name in WITHOUT_DATA + ON_HEADS), *((name, "flow") for name in WITH_DATA[1:])],
)
def test_every_study_writes_a_table_and_a_figure(name, source, few_levels, tmp_path):
    flags = ["--width=4"]
    if source == "flow":
        data = write_flow_release(tmp_path / "data", subjects=6, each=1)
        flags += ["--normalisation=layer", f"--backbone={NETWORK.backbone}", f"--data_dir={data}"]
    assert command.main([name, f"--workdir={tmp_path / 'out'}", *flags]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.json", f"{name}.png"}
    content = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert content["rows"]
    assert content["network"]["width"] == 4
    assert ("synthetic" in content["data"]) == (source == "synthetic" and name not in ("efficiency", *ON_HEADS))
    assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_by_default_every_study_runs_that_the_data_allow(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)
    ran = []
    monkeypatch.setattr(command, "_run", lambda name, *_: ran.append(name))
    assert command.main([f"--workdir={tmp_path}"]) == 0
    assert ran == WITHOUT_DATA + ON_HEADS
    ran.clear()
    data = write_flow_release(tmp_path / "data", subjects=6, each=1)
    assert command.main([f"--workdir={tmp_path}", f"--data_dir={data}"]) == 0
    assert ran == WITH_DATA
    assert {*WITHOUT_DATA, *ON_HEADS, *WITH_DATA, "views"} == {*command.STUDIES}


@pytest.mark.slow
def test_few_data_on_the_flow_release_has_three_panels(few_levels, tmp_path):
    data = write_flow_release(tmp_path / "data", subjects=3, each=1)
    rows = list(few_data.run(data, NETWORK))
    assert [row.panel for row in rows] == [few_data.PANELS[0]] * 2 + [few_data.PANELS[1]] * 4 + [few_data.PANELS[2]] * 2
    assert (rows[0].contender, rows[0].level, rows[0].difference) == ("SVM", "100%", None)
    assert [row.level for row in rows if row.difference is None] == ["100%", "0%", "0%", "0%"]


@pytest.mark.slow
def test_simulated_training_varies_one_action_unit_and_one_variation_at_a_time(few_levels, monkeypatch, tmp_path):
    """Without a unit that every combination of a class has, the class would have no clips: such units are left in."""
    data = write_flow_release(tmp_path / "data", subjects=6, each=1)
    monkeypatch.setattr(simulated_training, "METHODS", ("joint", "lightman"))
    trained = []

    def network_decisions(micro, macro, real, config, seed):
        trained.append(config)
        return np.eye(3)[real.label]

    monkeypatch.setattr(simulated_training, "network_decisions", network_decisions)
    rows = list(simulated_training.run(data, NETWORK))
    assert [(config.method.bilevel.inner_steps, config.network) for config in trained] == [(0, NETWORK), (1, NETWORK)]
    assert [row.level for row in rows if row.panel == "networks"] == ["joint", "joint", "lightman", "lightman"]
    assert [(row.contender, row.uf1) for row in rows[-2:]] == [("all", [1.0]), ("smic", [1.0])]
    units = {row.level for row in rows if row.panel == "without one action unit"}
    assert {"4", "6", "7"} <= units
    assert not {"1", "2", "12"} & units
    names = [row.level for row in rows if row.panel == "without one variation"]
    fields = [field.name for field in dataclasses.fields(simulated_training.PatchVariation)]
    assert list(dict.fromkeys(names)) == [name for name in fields if name != "noise_reach"]


def test_wrong_uses_are_answered(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "set_up_jax", lambda *_, **__: None)
    data = write_flow_release(tmp_path / "data", subjects=6, each=1)
    for words, answer in (
        (["robust"], "choose one of few_data"),
        (["--backbone=conv9"], "conv9"),
        (["subtlety", f"--data_dir={data}"], "leave --data_dir out"),
        (["subject_differences", f"--data_dir={data}"], "leave --data_dir out"),
        (["simulated_training"], "by --data_dir"),
        (["few_data", f"--data_dir={tmp_path / 'none'}"], "none"),
    ):
        assert command.main([*words, f"--workdir={tmp_path / 'out'}"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert answer in error
