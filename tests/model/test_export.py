"""Model files: equal predictions without this package, for any batch size; damaged files are refused."""

import io
import json
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest

from experiments import export as export_command
from experiments.prediction.models import open_model, read_run_model
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.model import DEFAULT_MODEL
from lightman_jax.model.card import ModelCard
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.model.export import export_ensemble, flat_programs
from lightman_jax.model.saved_model import READ_VERSIONS, Model, load_model, sealed
from lightman_jax.preprocessing import scale_flow, training_mean_square
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.prediction import predict_folds
from tests.inputs import make_clips

pytestmark = pytest.mark.slow

OTHER_PROCESS = """
import sys
for name in ("flatbuffers", "flax", "optax", "chex", "lightman_jax", "cv2"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import numpy as np
from lightman_exported import load_model
model = load_model(sys.argv[1])
with np.load(sys.argv[2]) as given:
    images, support, label = given["images"], given["support"], given["label"]
np.savez(sys.argv[3], predict=model.predict(images), saliency=model.saliency(images), adapt=model.adapt(support, label, images))
print(model.classes, model.about["dataset"])
"""


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / "smic.lightman"
    assert export_command.main([str(finished[0] / "work"), f"--out={file}"]) == 0
    return file


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(5, 28, 28, 3)).astype(np.float32)


def test_a_process_with_only_jax_and_numpy_predicts_the_same(exported, finished, images, tmp_path):
    np.savez(tmp_path / "given.npz", images=images, support=images[:3], label=[0, 1, 2])
    words = [sys.executable, "-c", OTHER_PROCESS, exported, tmp_path / "given.npz", tmp_path / "predicted.npz"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "('negative', 'positive', 'surprise') smic" in done.stdout
    here = open_model(finished[0] / "work")
    own = {
        "predict": here.predict(images),
        "saliency": here.saliency(images),
        "adapt": here.adapt(images[:3], [0, 1, 2], images),
    }
    with np.load(tmp_path / "predicted.npz") as predicted:
        for name, expected in own.items():
            np.testing.assert_allclose(predicted[name], expected, atol=1e-6, err_msg=name)
    # The networks differ, and adaptation changes their predictions.
    assert own["predict"].std(axis=0).max() > 1e-4
    assert np.abs(own["adapt"] - own["predict"]).max() > 1e-4


def test_predictions_do_not_depend_on_the_batch_size(exported, images):
    model = load_model(exported)
    together = model.predict(images)
    for count in (1, 2, 3):
        np.testing.assert_allclose(model.predict(images[:count]), together[:, :count], atol=1e-6)


def test_the_file_has_a_model_card(exported, finished):
    about = load_model(exported).about
    assert about["classes"] == ["negative", "positive", "surprise"]
    assert about["image_shape"] == [28, 28, 3]
    assert about["motion"]["flow_method"] == "farneback"
    assert about["networks"] == 6
    assert (about["dataset"], about["stand_in"]) == ("smic", False)
    assert about["origin"]
    assert "Not for judging" in about["notice"]
    assert about["programs"].keys() == {"predict", "saliency", "adapt"}
    assert all(program["platforms"] == ["cpu", "cuda", "tpu"] for program in about["programs"].values())
    assert about["programs"]["predict"]["inputs"][-1] == "float32[b, 28, 28, 3]"
    assert about["programs"]["adapt"]["inputs"][-3:] == ["float32[s, 28, 28, 3]", "int32[s]", "float32[b, 28, 28, 3]"]


def test_exporting_a_run_twice_gives_the_same_content(exported, finished, tmp_path):
    export_command.main([str(finished[0] / "work"), f"--out={tmp_path / 'again.lightman'}"])
    first, second = (zipfile.ZipFile(path) for path in (exported, tmp_path / "again.lightman"))
    for name in first.namelist():
        if name.startswith(("params", "model", "lightman")):
            assert first.read(name) == second.read(name)


def test_files_do_not_name_folders_of_the_computer_that_wrote_them(exported):
    for path in (exported, DEFAULT_MODEL):
        with zipfile.ZipFile(path) as archive:
            named = {name for name in archive.namelist() if b".py" in archive.read(name)}
        assert not named


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.9, 0.9999])
def test_a_flipped_bit_is_detected(exported, tmp_path, place):
    content = bytearray(exported.read_bytes())
    content[int(place * len(content))] ^= 4
    (tmp_path / "bad.lightman").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"bad\.lightman (is damaged|is not a model file)"):
        load_model(tmp_path / "bad.lightman")


def test_other_and_truncated_files_are_refused(tmp_path, exported):
    (tmp_path / "text.lightman").write_text("hello")
    with pytest.raises(ValueError, match=r"not a model file.*experiments\.export RUN"):
        load_model(tmp_path / "text.lightman")
    (tmp_path / "cut.lightman").write_bytes(exported.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a model file, or is truncated"):
        load_model(tmp_path / "cut.lightman")


def test_a_file_of_a_newer_jax_is_refused(exported, monkeypatch):
    monkeypatch.setattr(jax, "__version__", "0.6.1")
    with pytest.raises(
        ValueError, match=r"was written by JAX [\d.]+, newer than the installed 0\.6\.1: pip install -U jax"
    ):
        load_model(exported)


def test_invalid_inputs_are_refused(exported, images):
    model = load_model(exported)
    with pytest.raises(ValueError, match=r"shape \(5, 28, 28\); this model takes \[b, 28, 28, 3\]"):
        model.predict(images[..., 0])
    with pytest.raises(ValueError, match="not finite"):
        model.predict(np.full_like(images, np.nan))
    with pytest.raises(ValueError, match=r"3 labelled images need one class index below 3 each, got \[0, 1, 3\]"):
        model.adapt(images[:3], [0, 1, 3], images)


def card_of(clips, folds, method="lightman"):
    return ModelCard(clips.classes, clips.image.shape[1:], method, tuple(fold.name for fold in folds))


@pytest.mark.parametrize("scaling", ["clip_rms", "fold_rms"])
def test_an_ensemble_predicts_held_out_clips_as_predict_folds_does(scaling):
    clips = make_clips(subjects=3)
    folds = leave_one_subject_out(clips.subject)
    joint = method_config("joint", MethodConfig())
    config = TrainConfig(joint, task=TaskConfig(shots=1, macro_shots=1, meta_batch_size=1), steps=2, scaling=scaling)
    trained = list(train_folds(clips, None, folds, [0], config))
    alone = predict_folds([(one.fold, one.params) for one in trained], clips.image, config)
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *[one.params for one in trained])
    mean_square = np.stack(
        [np.asarray(training_mean_square(jax.numpy.asarray(clips.image), fold.train)) for fold in folds]
    )
    ensemble = Ensemble(params, jax.numpy.asarray(mean_square))
    programs = ensemble_programs(config)
    card = card_of(clips, folds).to_json()
    predicted = Model(card, jax.tree.leaves(ensemble), flat_programs(programs, ensemble)).predict(clips.image)
    for row, (fold, expected) in enumerate(zip(folds, alone, strict=True)):
        np.testing.assert_allclose(predicted[row, fold.test], expected, atol=1e-5)


def test_scaling_by_mean_square_equals_scaling_by_training_clips():
    images = jax.numpy.asarray(make_clips().image)
    train = np.arange(len(images)) % 3 > 0
    by_mean_square = scale_flow(
        images, scaling="fold_rms", mean_square=training_mean_square(images, jax.numpy.asarray(train))
    )
    np.testing.assert_array_equal(
        by_mean_square, scale_flow(images, scaling="fold_rms", train=jax.numpy.asarray(train))
    )


def test_a_method_that_does_not_adapt_has_no_adapt_program(tmp_path):
    clips = make_clips(subjects=2)
    config = TrainConfig(
        method=method_config("generated", MethodConfig()), steps=1, task=TaskConfig(shots=1, meta_batch_size=1)
    )
    folds = leave_one_subject_out(clips.subject)[:1]
    (one,) = train_folds(clips, None, folds, [0], config)
    ensemble = Ensemble(jax.tree.map(lambda leaf: leaf[None], one.params), jax.numpy.ones((1, 1, 1, 1, 3)))
    export_ensemble(tmp_path / "one.lightman", ensemble, ensemble_programs(config), card_of(clips, folds, "generated"))
    model = load_model(tmp_path / "one.lightman")
    assert model.predict(clips.image).shape == (1, len(clips), 3)
    with pytest.raises(ValueError, match="method 'generated' does not adapt"):
        model.adapt(clips.image[:1], [0], clips.image)


def test_a_model_of_fewer_seeds_has_fewer_networks(exported, finished, tmp_path):
    few = read_run_model(finished[0] / "work", seeds=1)
    assert (few.card.networks, few.card.seeds) == (3, 1)


def test_a_model_card_survives_json_and_other_versions_are_refused():
    card = ModelCard(("a", "b"), (8, 8, 3), "maml", ("s/1", "s/2"), scaling="fold_rms", mean_square=([[1.0]], [[2.0]]))
    assert ModelCard.from_json(json.loads(json.dumps(card.to_json()))) == card
    assert card.to_json()["networks"] == 2
    both = card.joined(card)
    assert (both.networks, both.seeds, len(both.mean_square)) == (4, 2, 4)
    with pytest.raises(ValueError, match=r"format version 1, this release reads 3, 4, 5; .*python -m experiments\.run"):
        ModelCard.from_json(card.to_json() | {"format_version": 1})
    with pytest.raises(ValueError, match="incomplete or has unknown fields"):
        ModelCard.from_json(card.to_json() | {"unknown": 1})


def test_a_model_file_of_another_format_version_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.json", json.dumps({"format_version": READ_VERSIONS[0] - 1}))
    (tmp_path / "old.lightman").write_bytes(sealed(buffer.getvalue()))
    with pytest.raises(
        ValueError, match=r"format version 2, this release reads 3, 4, 5; export it again with `python -m"
    ):
        load_model(tmp_path / "old.lightman")
