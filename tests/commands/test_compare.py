"""Paired comparison of runs, on tables small enough for results by hand."""

import unicodedata

import numpy as np
import pytest

from experiments.compare import main
from experiments.evaluation.comparison import compare_runs
from experiments.evaluation.prediction_table import Prediction, read_predictions, write_predictions
from lightman_jax.metrics import holm, paired_difference, sign_flip_p_value, uf1

CLASSES = ("negative", "positive", "surprise")


def write_table(path, wrong=(), seeds=(0, 1), labels=None, classes=CLASSES):
    rows = []
    for seed in seeds:
        for subject in range(4):
            for k, name in enumerate(CLASSES):
                clip = f"smic/s{subject}/c{k}"
                guess = CLASSES[(k + 1) % 3] if (subject, k) in wrong else name
                label = (labels or {}).get(clip, name)
                rows.append(
                    Prediction(
                        clip, "smic", f"smic/s{subject}", f"smic/s{subject}", seed, label, guess, (0.2,) * len(classes)
                    )
                )
    write_predictions(path, rows, classes)
    return path


def test_difference_interval_p_value_and_effect_equal_those_by_hand(tmp_path):
    right, poor = write_table(tmp_path / "a.csv"), write_table(tmp_path / "b.csv", wrong={(0, 0), (1, 0)})
    (first, _), (pair,), _ = compare_runs([right, poor])
    confusion = np.array([[2, 2, 0], [0, 4, 0], [0, 0, 4]])
    assert first.uf1 == 1
    assert pair.difference == pytest.approx(1 - float(uf1(confusion)))
    assert 0 <= pair.interval[0] < pair.difference < pair.interval[1]
    assert pair.sd == 0
    # Two of four subjects differ: half of their sign flips give a difference as large.
    assert pair.p == pytest.approx(0.5, abs=0.02)
    assert pair.effect == pytest.approx(np.mean([1 / 3, 1 / 3, 0, 0]) / np.std([1 / 3, 1 / 3, 0, 0], ddof=1))


def test_interval_is_paired():
    """Methods that fail on the same subjects have no difference, however much subjects differ."""
    counts = np.random.default_rng(0).integers(0, 5, size=(2, 6, 3, 3))
    assert paired_difference(counts, counts) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="have shapes"):
        paired_difference(counts, counts[:, :5])


def test_p_values_are_holm_corrected_and_pairs_can_be_limited_to_the_first_run(tmp_path):
    paths = [write_table(tmp_path / f"{k}.csv", wrong={(i, 0) for i in range(k)}) for k in range(4)]
    found = compare_runs(paths)
    assert len(found.pairs) == 6
    assert [pair.p_holm for pair in found.pairs] == holm([pair.p for pair in found.pairs]).tolist()
    assert len(compare_runs(paths, with_first=True).pairs) == 3
    assert found.chance[0] < 1 / 3 < found.chance[1] < 0.8


@pytest.mark.slow
def test_sign_flip_test_keeps_its_level_on_a_thousand_null_simulations():
    """Two methods with equal expected accuracy on every subject; subjects differ in number of clips and in difficulty."""
    rng = np.random.default_rng(0)
    hits = 0
    for simulation in range(1000):
        sizes, skill = rng.integers(1, 12, 20), rng.uniform(0.3, 0.9, 20)
        counts = []
        for _ in range(2):
            matrices = np.zeros((1, 20, 3, 3))
            for row, (size, right) in enumerate(zip(sizes, skill, strict=True)):
                truth = np.arange(size) % 3
                guess = np.where(rng.uniform(size=size) < right, truth, rng.integers(0, 3, size))
                np.add.at(matrices[0, row], (truth, guess), 1)
            counts.append(matrices)
        hits += sign_flip_p_value(*counts, replicates=199, seed=simulation) < 0.05
    assert hits <= 60, "more than 6% false positives at level 5%"
    assert hits >= 20, "the test is too conservative"


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"seeds": (0,)}, "same --seeds"),
        ({"labels": {"smic/s0/c0": "surprise"}}, "for example smic/s0/c0"),
    ],
)
def test_runs_on_different_clips_labels_or_seeds_are_refused(tmp_path, capsys, other, text):
    runs = [str(write_table(tmp_path / "a.csv")), str(write_table(tmp_path / "b.csv", **other))]
    assert main(runs) == 2
    assert text in capsys.readouterr().err
    assert main(runs[:1]) == 2
    assert main([str(tmp_path / "nowhere.csv"), runs[0]]) == 2


def other_program(path, change=lambda text: text, encoding="utf-8", **options):
    """A table as another program writes it: without the format version."""
    text = write_table(path, **options).read_text(encoding="utf-8").replace(",format_version", "").replace(",1\n", "\n")
    path.write_bytes(change(text).encode(encoding))
    return path


def test_tables_of_other_programs_are_compared_by_the_names_in_them(tmp_path, capsys):
    """Every table scores as scikit-learn scores its columns label and prediction."""
    from sklearn.metrics import f1_score

    wrong = {(0, 0), (1, 0), (2, 2)}
    first = write_table(tmp_path / "a.csv")
    rows = read_predictions(write_table(tmp_path / "b.csv", wrong=wrong))[0]
    expected = f1_score([row.label for row in rows], [row.prediction for row in rows], average="macro")

    def with_value(text):
        head, *lines = text.splitlines()
        return "\n".join([f"{head},p_value", *(f"{line},0.03" for line in lines)])

    tables = {
        "plain": {},
        "p_value": {"change": with_value},
        "bom": {"encoding": "utf-8-sig"},
        "utf16": {"encoding": "utf-16"},
        "semicolons": {"change": lambda text: text.replace(",", ";")},
        "subjects": {"change": lambda text: text.replace(",smic/s", ",S0")},
        "classes": {"classes": CLASSES[::-1]},
    }
    paths = [first, *(other_program(tmp_path / f"{name}.csv", wrong=wrong, **how) for name, how in tables.items())]
    notes = []
    runs = compare_runs(paths, report=notes.append).runs
    assert [run.uf1 for run in runs] == pytest.approx([1, *[expected] * len(tables)])
    for text in (
        "p_value; classes are the labels and predictions",
        "read as UTF-16",
        "4 subjects have another spelling there, such as S00 for smic/s0",
    ):
        assert any(text in note for note in notes)
    assert main([str(path) for path in paths[:2]]) == 0
    assert "note: UF1 is the mean over the classes negative, positive, surprise" in capsys.readouterr().out


def test_names_in_another_normal_form_are_the_same_names(tmp_path):
    def renamed(form):
        return lambda text: text.replace("smic/s0/c0", unicodedata.normalize(form, "smic/s0/Zoë"))

    paths = [other_program(tmp_path / f"{form}.csv", renamed(form)) for form in ("NFC", "NFD")]
    assert [run.uf1 for run in compare_runs(paths).runs] == [1, 1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda text: text.replace("smic/s1,smic/s1", "smic/s0,smic/s1"), "group the clips by other subjects"),
        (lambda text: text.replace("smic/s3/c2", "smic/s3/c9"), "lacks 1 clips, for example smic/s3/c9, and"),
        (lambda text: text.replace("clip,dataset", "name,dataset"), "lacks the columns clip; it has name, dataset"),
        (lambda text: text + text.splitlines()[1], "b.csv: clip smic/s0/c0 is predicted twice under seed 0"),
    ],
)
def test_tables_that_do_not_fit_are_refused_with_names(tmp_path, change, text):
    paths = [write_table(tmp_path / "a.csv"), other_program(tmp_path / "b.csv", change)]
    with pytest.raises(ValueError, match=text):
        compare_runs(paths)


def test_labels_of_one_class_and_other_classes_are_refused(tmp_path):
    one = {f"smic/s{subject}/c{k}": "positive" for subject in range(4) for k in range(3)}
    with pytest.raises(ValueError, match="have the label positive; UF1 needs clips of two classes"):
        compare_runs([other_program(tmp_path / name, labels=one) for name in ("a.csv", "b.csv")])
    compare_runs([write_table(tmp_path / name, labels=one) for name in ("a.csv", "b.csv")])
    paths = [write_table(tmp_path / "a.csv"), write_table(tmp_path / "b.csv", classes=(*CLASSES, "fear"))]
    with pytest.raises(ValueError, match="compare runs with the same classes"):
        compare_runs(paths)


def test_tables_of_other_programs_need_the_same_predictions_and_labels(tmp_path):
    """Else the UF1 of one table would depend on the predictions of another."""
    paths = [
        other_program(tmp_path / "a.csv"),
        other_program(tmp_path / "b.csv", lambda text: text.replace("surprise,0", "other,0")),
    ]
    for runs in (paths, paths[::-1]):
        with pytest.raises(ValueError, match=r"correct labels and predictions that one table alone has"):
            compare_runs(runs)


def test_a_folder_without_predictions_is_refused(tmp_path, capsys):
    assert main([str(write_table(tmp_path / "a.csv")), str(tmp_path)]) == 2
    assert "predictions.csv'. Give the workdir of a finished run" in capsys.readouterr().err


def test_command_prints_the_scores(tmp_path, capsys):
    assert main([str(write_table(tmp_path / "a.csv")), str(write_table(tmp_path / "b.csv", wrong={(0, 0)}))]) == 0
    assert "1.000 ± 0.000" in capsys.readouterr().out
