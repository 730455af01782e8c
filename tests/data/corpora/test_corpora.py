"""Every corpus: its stand-in is read completely, prepared and trained on, with the quirks of the real download."""

import csv
import dataclasses
import functools
import json
from collections import Counter

import numpy as np
import pytest

from experiments import rerun, run
from experiments.cli.config import parse_config
from experiments.cli.terminal import PlainConsole
from experiments.evaluation import data
from experiments.evaluation.protocols import plan_run
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.registry import CORPORA, DATASETS
from lightman_jax.data.preparation import parallel
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig
from lightman_jax.data.synthetic.stand_in import stand_in_config, write_stand_in
from lightman_jax.data.synthetic.stand_in_layouts import WRITERS

SUBJECTS = 3
SMALL_SIMULATED = functools.partial(SimulatedAUConfig, subjects=3, micro_clips=2, macro_clips=1)
MICRO = [name for name in WRITERS if name in DATASETS]
MACRO_ALONE = [name for name in WRITERS if name not in DATASETS]


def small(dataset):
    return dataclasses.replace(stand_in_config(dataset), subjects=SUBJECTS, micro_clips=2, macro_clips=1, side=48)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Stand-in trees by name, each written once."""
    made = {}

    def tree(name):
        if name not in made:
            made[name] = write_stand_in(tmp_path_factory.mktemp("tree") / name, name, small(name))
        return made[name]

    return tree


def test_every_corpus_has_a_stand_in():
    assert {*WRITERS, "simulated_au"} == set(CORPORA)


@pytest.mark.parametrize("name", WRITERS)
def test_stand_in_is_read_completely(trees, name):
    reading = read_corpus(name, trees(name))
    assert reading.stand_in
    assert not [problem for problem in reading.problems if problem.lost]
    pools = Counter(clip.pool for clip in reading.clips)
    emotions = {clip.emotion for clip in reading.clips if clip.pool == "micro"}
    if name in DATASETS:
        kinds = 5 if name == "casme3_c" else max(3, len(emotions - {"positive+surprise"}))
        assert pools["micro"] == SUBJECTS * 2 * kinds
    if CORPORA[name].macro_clips or name in MACRO_ALONE:
        assert pools["macro"] >= SUBJECTS * 3
    known = dict(CORPORA[name].emotions)
    if known:
        assert {part for clip in reading.clips for part in clip.emotion.split("+")} <= {*known, ""}
    for clip in reading.clips:
        assert clip.clip.startswith(f"{name}/")
        assert clip.subject.startswith(f"{CORPORA[name].subject_pool}/")
        assert clip.apex is None or 0 <= clip.apex < len(clip.numbers)
        assert list(clip.numbers) == sorted(clip.numbers)


@pytest.mark.parametrize(
    ("name", "clip", "onset", "apex", "emotion"),
    [
        ("smic_e", "smic_e/s1/s1_ne_01", 559753, None, "negative"),
        ("casme", "casme/sub01/EP01_01", 80, None, "disgust"),
        ("casme2", "casme2/sub01/EP01_2", 48, 3, "disgust"),
        ("casme2", "casme2/sub01/EP02_03f", 49, None, "happiness"),
        ("samm", "samm/001/001_1_5", 5500, 3, "others"),
        ("samm_long", "samm_long/001/001_1_5_29", 29, 3, "others"),
        ("mmew", "mmew/S01/S01-04-002", 1, 3, "disgust"),
        ("casme_squared", "casme_squared/s15/disgust1_2_8", 8, 3, "negative"),
        ("casme3", "casme3/spno.1/a_15", 15, 3, "happiness"),
        ("4dme", "4dme/1/1_1", 10, 3, "positive+surprise"),
        ("dfme", "dfme/sub0002/sub0002_03", 0, 3, "happiness"),
        ("table", "table/p1/micro_positive_1", 1, 3, "positive"),
    ],
)
def test_onset_apex_and_emotion_follow_the_table(trees, name, clip, onset, apex, emotion):
    found = next(c for c in read_corpus(name, trees(name)).clips if (c.clip, c.pool) == (clip, "micro"))
    assert found.numbers[0] == onset
    assert found.apex == apex
    assert found.emotion == emotion


def test_quirks_of_the_real_downloads(trees):
    clips = {name: {c.clip: c for c in read_corpus(name, trees(name)).clips} for name in WRITERS}
    assert clips["smic_e"]["smic_e/s1/s1_ne_01"].paths[0].name == "image559753.jpg", "the video starts before the clip"
    assert {c.subject for c in clips["smic_vis"].values()} == {c.subject for c in clips["smic_e"].values()}
    assert {c.subject for c in clips["samm_long"].values()} == {c.subject for c in clips["samm"].values()}
    assert clips["casme"]["casme/sub01/EP01_01"].paths[0].name == "EP01_01-80.jpg"
    assert clips["casme2"]["casme2/sub01/EP01_2"].action_units
    # An offset of 0 is missing: the movement ends at its apex.
    assert len(clips["casme_squared"]["casme_squared/s15/disgust1_2_8"].paths) == 4
    assert clips["samm"]["samm/001/001_1_5"].objective == "VII"
    assert clips["casme3_c"]["casme3_c/c1/1_8"].action_units, "units separated by a Chinese comma"
    assert {c.fps for c in clips["dfme"].values()} == {200.0, 300.0, 500.0}
    face = clips["ck_plus"]["ck_plus/S001/S001_002"]
    assert face.box is not None
    assert face.apex == len(face.paths) - 1
    assert {c.paths[0].parts[-4] for c in clips["oulu_casia"].values()} == {"Strong"}
    assert clips["fer2013"]["fer2013/0/0"].kind == "pixels"
    assert "my clips é" in str(clips["table"]["table/p1/micro_positive_1"].paths[0])
    dropped = next(c for c in clips["casme3"].values() if len(c.numbers) < c.numbers[-1] - c.numbers[0] + 1)
    assert dropped.pool == "macro"


@pytest.fixture
def command(tmp_path, monkeypatch, without_pictures):
    monkeypatch.delenv("LIGHTMAN_DATA", raising=False)
    monkeypatch.setattr(run, "set_up_jax", lambda *_, **__: None)
    monkeypatch.setattr(data, "stand_in_config", small)
    monkeypatch.setattr(parallel, "_MIN_CLIPS_FOR_PROCESSES", 1000)  # Starting a process takes longer than these clips.
    tiny = [
        "--width=8",
        "--embedding=4",
        "--shots=1",
        "--macro_shots=1",
        "--meta_batch_size=1",
        "--steps=2",
        "--ensemble_size=1",
        "--seeds=1",
        "--baselines=none",
        "--method=joint",
    ]
    places = [f"--data_cache={tmp_path / 'cache'}", f"--workdir={tmp_path / 'work'}"]

    def call(*flags, train=True):
        if not train:
            return plan_run(parse_config([*flags, *tiny, *places]), PlainConsole(quiet=True))
        assert run.main([*flags, *tiny, *places]) == 0
        metrics = json.loads((tmp_path / "work" / "metrics.json").read_text())
        return metrics, list(csv.DictReader((tmp_path / "work" / "predictions.csv").read_text().splitlines()))

    return call


@pytest.mark.slow
@pytest.mark.parametrize("name", MICRO)
def test_run_without_data_is_planned_on_the_stand_in(command, name):
    """The trainings below are those of all corpora: what differs between these ends with the plan."""
    planned = command(f"--dataset={name}", train=False)
    assert planned.stand_in
    assert len(planned.plan.folds) == planned.plan.folds_expected == SUBJECTS
    assert {*planned.prepared.micro.dataset} == {f"{name}_stand_in"}
    assert np.isfinite(planned.prepared.micro.image).all()


@pytest.mark.slow
def test_training_on_simulated_action_units_alone(command, monkeypatch):
    monkeypatch.setattr(data, "SimulatedAUConfig", SMALL_SIMULATED)
    metrics, rows = command("--dataset=simulated_au", "--method=joint")
    assert metrics["data"]["stand_in"], "simulated clips must be marked as stand-in"
    assert {row["dataset"] for row in rows} == {"simulated_au_stand_in"}


@pytest.mark.slow
def test_training_on_measured_heads_alone_and_again_after_the_geometry_has_moved(
    command, monkeypatch, facekit, tmp_path, capsys
):
    monkeypatch.setattr(data, "SimulatedAUConfig", SMALL_SIMULATED)
    monkeypatch.setattr(rerun, "set_up_jax", lambda *_, **__: None)
    place = (tmp_path / "kit").resolve()
    place.symlink_to(facekit)
    metrics, rows = command("--dataset=simulated_au", f"--geometry={place}", "--face_side=40")
    assert metrics["data"]["stand_in"], "simulated clips must be marked as stand-in"
    assert any("measured face geometry of ICT-FaceKit (MIT licence)" in note for note in metrics["notes"])
    assert {row["dataset"] for row in rows} == {"simulated_au_stand_in"}
    moved = place.rename(tmp_path / "moved")
    words = [str(tmp_path / "work"), f"--fold={rows[0]['fold']}"]
    assert rerun.main(words) == 2
    assert "give the folder of ICT-FaceKit as cloned" in capsys.readouterr().err
    assert rerun.main([*words, f"--geometry={moved}"]) == 0
    assert "bit-identical" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "labels"), [("simulated_au", "objective"), ("simulated_au", "7"), ("casme2", "au12"), ("casme2", "3")]
)
def test_simulated_macro_clips_have_the_classes_of_the_micro_clips(command, monkeypatch, facekit, dataset, labels):
    monkeypatch.setattr(data, "SimulatedAUConfig", SMALL_SIMULATED)
    flags = (f"--geometry={facekit}", "--face_side=40", f"--labels={labels}")
    planned = command(f"--dataset={dataset}", "--macro=simulated_au", *flags, train=False)
    macro = planned.prepared.macro
    assert macro.classes == planned.prepared.micro.classes
    assert set(macro.label.tolist()) == set(range(len(macro.classes)))
    simulated = "simulated from action units and measured face geometry of ICT-FaceKit (simulated_au)"
    assert planned.macro_text == f"{len(macro)} macro clips {simulated}"


@pytest.mark.slow
def test_simulated_macro_clips_are_labelled_as_simulated(command, monkeypatch):
    monkeypatch.setattr(data, "SimulatedAUConfig", SMALL_SIMULATED)
    metrics, _ = command("--dataset=smic_vis", "--macro=simulated_au", "--method=joint")
    assert metrics["macro"] == "9 macro clips simulated from action units (simulated_au)"


@pytest.mark.slow
def test_training_on_frames(command):
    flags = ("--representation=frames", "--frame_count=3", "--image_side=12")
    metrics, rows = command("--dataset=smic_vis", *flags, "--method=lightman_fo", "--alignment=temporal")
    assert metrics["data"]["stand_in"]
    assert metrics["folds"] == metrics["folds_expected"] == SUBJECTS
    assert {row["dataset"] for row in rows} == {"smic_vis_stand_in"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MACRO_ALONE)
def test_each_macro_corpus_is_aligned_with(command, name):
    representation = "apex" if name == "fer2013" else "flow"
    flags = (f"--macro={name}", f"--representation={representation}", "--method=lightman_fo")
    planned = command("--dataset=casme2", *flags, train=False)
    assert f"{len(planned.prepared.macro)} synthetic macro clips" in planned.macro_text
    assert np.isfinite(planned.prepared.macro.image).all()


@pytest.mark.slow
def test_training_with_a_macro_corpus_on_apex_frames(command):
    flags = ("--macro=fer2013", "--representation=apex", "--method=lightman_fo")
    metrics, _ = command("--dataset=casme2", *flags)
    assert "synthetic macro clips" in metrics["macro"]
