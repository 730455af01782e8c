"""Paired comparison of runs, on tables small enough to work out by hand."""

import numpy as np
import pytest

from experiments.compare import compare_runs, main
from experiments.scores import Prediction, write_predictions
from lightman_jax.metrics import paired_difference, uf1

CLASSES = ("negative", "positive", "surprise")


def table(path, wrong=(), seeds=(0, 1), labels=None):
    rows = []
    for seed in seeds:
        for subject in range(4):
            for k, name in enumerate(CLASSES):
                clip = f"smic/s{subject}/c{k}"
                guess = CLASSES[(k + 1) % 3] if (subject, k) in wrong else name
                label = (labels or {}).get(clip, name)
                rows.append(
                    Prediction(
                        clip, "smic", f"smic/s{subject}", f"smic/s{subject}", seed, label, guess, (0.2, 0.3, 0.5)
                    )
                )
    write_predictions(path, rows, CLASSES)
    return path


def test_difference_and_its_interval(tmp_path):
    right, poor = table(tmp_path / "a.csv"), table(tmp_path / "b.csv", wrong={(0, 0), (1, 0)})
    first, second = compare_runs([right, poor])
    confusion = np.array([[2, 2, 0], [0, 4, 0], [0, 0, 4]])
    assert first["uf1"] == 1
    assert second["difference"] == pytest.approx(1 - float(uf1(confusion)))
    low, high = second["interval"]
    assert 0 <= low < second["difference"] < high
    assert second["sd_difference"] == 0
    assert "difference" not in first


def test_the_interval_is_paired():
    """Two methods that fail on the same people differ by nothing, however much people differ."""
    counts = np.random.default_rng(0).integers(0, 5, size=(2, 6, 3, 3))
    assert paired_difference(counts, counts) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="same clips"):
        paired_difference(counts, counts[:, :5])


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"seeds": (0,)}, "same --seeds"),
        ({"labels": {"smic/s0/c0": "surprise"}}, "for example smic/s0/c0"),
    ],
)
def test_runs_that_cannot_be_paired_are_refused(tmp_path, capsys, other, text):
    runs = [str(table(tmp_path / "a.csv")), str(table(tmp_path / "b.csv", **other))]
    assert main(runs) == 2
    assert text in capsys.readouterr().err
    assert main(runs[:1]) == 2
    assert main([str(tmp_path / "nowhere.csv"), runs[0]]) == 2


def test_the_table_is_printed(tmp_path, capsys):
    assert main([str(table(tmp_path / "a.csv")), str(table(tmp_path / "b.csv", wrong={(0, 0)}))]) == 0
    assert "1.000 ± 0.000" in capsys.readouterr().out
