"""Cached results depend on data, settings and explicit versions, and never on source files, READMEs or figures."""

from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.evaluation import fold_store, workdir
from experiments.evaluation.cross_validation import Work
from experiments.evaluation.workdir import changed_file, refuse_changed, results_digest, write_inventory
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import make_clips

CONFIG = TrainConfig(
    method=method_config("joint", MethodConfig()),
    network=NetworkConfig(width=4, embedding=4),
    task=TaskConfig(shots=1, macro_shots=1, meta_batch_size=1),
    steps=2,
)


@pytest.fixture
def work():
    clips = make_clips(subjects=3, each=1)
    return Work("synthetic", clips, None, leave_one_subject_out(clips.subject), range(2))


def test_no_file_is_read_for_the_keys_of_cached_results(work, monkeypatch):
    jax.devices()  # JAX reads files when it starts.
    for name in ("read_bytes", "read_text", "open", "glob", "rglob"):
        monkeypatch.setattr(Path, name, lambda *_, **__: pytest.fail("a file is read for a cache key"))
    assert len(results_digest(work, [CONFIG], ["loso"])) == 64


def test_versions_words_and_test_clips_change_the_key(work, monkeypatch):
    def digest(words=("loso",), own=work):
        return results_digest(own, [CONFIG], words)

    first = digest()
    assert digest() == first
    assert digest(words=("few_shot",)) != first
    image = work.micro.image.copy()
    image[0, 0, 0, 0] += 1
    other = type(work.micro)(image, *list(vars(work.micro).values())[1:])
    assert digest(own=work._replace(micro=other)) != first
    for module, name in ((workdir, "RESULTS_VERSION"), (fold_store, "TRAINING_VERSION")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 99)
            assert digest() != first


@pytest.mark.slow
def test_the_training_version_trains_these_losses(work):
    """A change of this history needs a higher `TRAINING_VERSION`, so that stored jobs are trained again."""
    assert fold_store.TRAINING_VERSION == 2
    (job,) = train_folds(work.micro, None, work.folds[:1], [0], CONFIG)
    np.testing.assert_allclose(job.history["loss"], [2.247354, 1.699780], rtol=1e-3)


def test_a_changed_missing_or_new_file_is_found(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    write_inventory(tmp_path, "digest")
    assert changed_file(tmp_path) is None
    (tmp_path / "b.csv").write_text("2")
    assert changed_file(tmp_path) == "b.csv"
    assert changed_file(tmp_path, ["a.csv"]) is None
    (tmp_path / "a.csv").write_text("3")
    with pytest.raises(ValueError, match=r"a\.csv is missing or has changed.*repeat the run's command"):
        refuse_changed(tmp_path, "a.csv")
