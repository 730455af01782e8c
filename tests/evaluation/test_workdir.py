"""Cached results depend on data, settings and explicit versions, and never on source files, READMEs or figures."""

import dataclasses
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.cli.config import DataConfig, RunConfig
from experiments.cli.flags import ConfigError
from experiments.evaluation import fold_store, numeric_settings, workdir
from experiments.evaluation.cross_validation import Work
from experiments.evaluation.run_record import claim_workdir, read_run
from experiments.evaluation.workdir import changed_file, refuse_changed, results_digest, write_inventory
from lightman_jax.data.preparation.load import Prepared
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
    for name in ("jax_enable_x64", "jax_threefry_partitionable"):
        with monkeypatch.context() as patch:
            patch.setitem(numeric_settings._VERSIONS, name, "other")
            assert digest() != first


@pytest.mark.slow
def test_the_training_version_trains_these_losses(work):
    """A change of this history needs a higher `TRAINING_VERSION`, so that stored jobs are trained again."""
    assert fold_store.TRAINING_VERSION == 3
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


def prepared_clips(image=0.0):
    clips = make_clips(subjects=2, each=1)
    manifest = types.SimpleNamespace(dataset="table", stand_in=False, origin="table", clips={"micro": 6}, faces={})
    return Prepared(dataclasses.replace(clips, image=clips.image + np.float32(image)), None, manifest)


def config_at(data_dir, **settings):
    return RunConfig(data=DataConfig(dataset="table", data_dir=data_dir), **settings)


def claim(workdir, config, prepared=None):
    claim_workdir(workdir, config, config.trained, prepared or prepared_clips(), [0])


def test_data_in_another_place_are_the_data_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claim(tmp_path, config_at("data"))
    write_inventory(tmp_path, "digest")
    for place in ("data/", "~/data", "/another/disk"):
        claim(tmp_path, config_at(place))
        stored, _ = read_run(tmp_path)
        assert stored.data.data_dir == str(Path(place).expanduser().absolute()), "rerun needs the present place"
        assert changed_file(tmp_path) is None
    (tmp_path / "predictions.csv").touch()
    claim(tmp_path, config_at("data"))
    assert changed_file(tmp_path) is not None, "a changed file stays reported"


@pytest.mark.parametrize(
    ("config", "prepared", "text"),
    [
        (config_at("data"), prepared_clips(1), "data.digest is"),
        (config_at("data", episodes=2), prepared_clips(), "settings.episodes is 1000 there and 2 here"),
    ],
    ids=["other data", "other settings"],
)
def test_a_workdir_of_other_data_or_settings_is_refused(config, prepared, text, tmp_path):
    claim(tmp_path, config_at("data"))
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ConfigError, match=text):
        claim(tmp_path, config, prepared)
    assert (tmp_path / "config.json").read_text() == before
