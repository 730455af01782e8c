"""The limit for suspicious scores: counted by hand, above every honest model, and below a leak."""

import numpy as np
import pytest

from experiments.claims import ceiling
from experiments.claims.ceiling import derive_ceiling
from experiments.evaluation.prediction_table import Prediction, write_predictions
from lightman_jax.metrics import confusion_matrix, uf1
from tests.inputs import CLASSES

LABELS = np.tile(np.arange(3), 40)
WRONG = (LABELS + 1) % 3


def right_on(*rows):
    """Predictions `[seeds, n]`, right on the given rows of each seed and wrong on all others."""
    return np.stack([np.where(np.isin(np.arange(len(LABELS)), own), LABELS, WRONG) for own in rows])


def score(predicted):
    return float(uf1(confusion_matrix(LABELS, predicted, 3)))


def test_the_limit_is_that_of_the_clips_that_any_model_has_right_in_half_of_its_seeds():
    first = right_on(range(60), range(60), range(110))
    second = right_on(*[range(40, 100)] * 3)
    constant = np.zeros_like(first)
    found = derive_ceiling(["first", "second", "constant"], LABELS, [first, second, constant])
    upto = lambda count: score(right_on(range(count))[0])  # noqa: E731
    assert found.clips == 120
    assert found.never == pytest.approx(10 / 120)
    assert found.unsolved == pytest.approx(20 / 120)
    assert found.any_seed == pytest.approx(upto(110))
    # The first model is the best, and its third seed is right on 100..109 as well.
    assert found.limit == pytest.approx(np.mean([upto(100), upto(100), upto(110)]))
    assert [model.above_chance for model in found.models] == [True, True, False]
    assert [model.alone for model in found.models[:2]] == [40, 40]
    assert all(model.limit_without is None for model in found.models)
    third = right_on(*[range(30, 112)] * 3)
    models = derive_ceiling(["first", "second", "third"], LABELS, [first, second, third]).models
    assert models[2].limit_without == pytest.approx(found.limit)
    assert [model.alone for model in models] == [30, 0, 12]


@pytest.mark.parametrize("seed", [0, 1])
def test_honest_models_are_below_the_limit_and_a_leak_above(seed):
    """Every model fails on the same fifth of the clips and by chance on others; a leak is right on clips of both kinds."""
    rng = np.random.default_rng(seed)
    hard = rng.random(len(LABELS)) < 0.2

    def model(seeds=3):
        able = ~hard & (rng.random(len(LABELS)) < 0.85)
        return np.where(able ^ (rng.random((seeds, len(LABELS))) < 0.02), LABELS, WRONG)

    found = derive_ceiling(list("abcd"), LABELS, [model() for _ in range(4)])
    assert all(one.uf1 < found.limit < 1 for one in found.models)
    assert all(score(own) < found.limit for own in model(seeds=20))
    leaking = np.where(rng.random((20, len(LABELS))) < 0.95, LABELS, WRONG)
    assert all(score(own) > found.limit for own in leaking)


def test_too_few_models_above_chance_are_refused():
    with pytest.raises(ValueError, match="1 of 2 models are above chance"):
        derive_ceiling(["a", "b"], LABELS, [right_on(range(90)), np.zeros((1, 120), int)])


def write_table(path, predicted):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        Prediction(
            f"smic/s{k // 6}/c{k}",
            "smic",
            f"smic/s{k // 6}",
            f"smic/s{k // 6}",
            seed,
            CLASSES[LABELS[k]],
            CLASSES[one],
            (1.0, 0.0, 0.0),
        )
        for seed, own in enumerate(predicted)
        for k, one in enumerate(own)
    ]
    write_predictions(path, rows, CLASSES)


def test_the_command_reads_a_workdir_with_its_baselines(tmp_path, capsys):
    models = {
        "predictions.csv": right_on(range(90)),
        "baselines/knn.csv": right_on(range(30, 100)),
        "baselines/majority.csv": np.zeros((1, 120), int),
    }
    for name, predicted in models.items():
        write_table(tmp_path / "run" / name, predicted)
    tables = [str(tmp_path / "run" / name) for name in models]
    for words in ([str(tmp_path / "run")], tables, [str(tmp_path / "more.csv"), *tables[:2]]):
        write_table(tmp_path / "more.csv", right_on(range(10, 100)))
        assert ceiling.main(words) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert (
            "120 clips: no model predicts 16.7% right in any seed, and 16.7% in at least half of its seeds" in printed
        )
        assert f"UF1 above {score(right_on(range(100))[0]):.3f} is suspicious" in printed
    assert ceiling.main([tables[0]]) == 2
    assert "at least two" in capsys.readouterr().err
