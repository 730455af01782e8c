"""The curve over few real clips: what is kept, and that held-out people are never among it."""

import json

import numpy as np
from conftest import make_clips

from experiments import few_clips, simulated_training
from experiments.few_clips import LEARNERS, SHARES, Learner, keep_share, run
from lightman_jax.folds import TrainConfig


def test_a_share_keeps_every_class_and_nobody_held_out():
    label = np.repeat(np.arange(3), [50, 20, 4])
    train = np.arange(len(label)) % 2 == 0
    assert not keep_share(train, label, 0.0, 0).any()
    for share in SHARES[1:]:
        kept = keep_share(train, label, share, draw=1)
        assert (kept <= train).all()
        expected = [max(1, round(share * np.sum(train & (label == k)))) for k in range(3)]
        assert [np.sum(kept & (label == k)) for k in range(3)] == expected
    assert (keep_share(train, label, 0.2, 1) != keep_share(train, label, 0.2, 2)).any()


def test_every_learner_gives_a_row_and_the_files_are_written(monkeypatch, tmp_path, capsys):
    real, facs, macro = (
        make_clips(subjects=n, each=1, corpus=name, seed=n) for n, name in ((6, "smic"), (4, "facs"), (3, "m"))
    )
    monkeypatch.setattr(few_clips, "simulate", lambda draw: (facs, macro, []))
    monkeypatch.setattr(few_clips, "SHARES", (0.0, 1.0))
    monkeypatch.setattr(few_clips, "LEARNERS", (LEARNERS[0], LEARNERS[1], Learner("lightman", "facs")))
    monkeypatch.setattr(few_clips, "TrainConfig", lambda **settings: TrainConfig(steps=1, **settings))
    monkeypatch.setattr(few_clips, "set_up_jax", lambda config: None)
    monkeypatch.setattr(few_clips, "read_real", lambda folder: real)
    assert few_clips.main(["--data_dir=x", "--draws=2", f"--workdir={tmp_path}"]) == 0
    rows = json.loads((tmp_path / "few_clips.json").read_text())["rows"]
    assert [(row["share"], row["learner"]) for row in rows] == [
        (0.0, "rbf_svm, with facs"), (0.0, "lightman, with facs"),
        (1.0, "rbf_svm"), (1.0, "rbf_svm, with facs"), (1.0, "lightman, with facs"),
    ]  # fmt: skip
    assert rows[2]["difference"] is None
    assert rows[3]["difference"] is not None
    assert len(rows[0]["uf1"]) == 2
    assert (tmp_path / "few_clips.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(few_clips, "read_real", simulated_training.read_real)
    assert few_clips.main([f"--data_dir={tmp_path}", f"--workdir={tmp_path}"]) == 2
    assert "error" in capsys.readouterr().err
    assert next(run(real, 1)).share == 0
