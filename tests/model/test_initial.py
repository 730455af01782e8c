"""Weights that trainings start from: foreign files, own checkpoints and exports, what is refused, and where they end up."""

import dataclasses
import io

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from lightman_jax.meta.method_functions import start_from
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.model.card import ModelCard
from lightman_jax.model.checkpoint import save_params
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.model.export import export_ensemble
from lightman_jax.model.initial import initial_weights, read_initial
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.program import method_of
from tests.inputs import CLASSES, make_clips
from tests.torch_files import resnet18_tensors

SIDE = 8
OWN = NetworkConfig(width=8, embedding=4)
# A step so small that weights stay as they started.
STILL = TrainConfig(
    network=OWN, task=TaskConfig(shots=1, macro_shots=1, meta_batch_size=1), steps=1, learning_rate=1e-9
)


def own_networks(config=STILL, count=2):
    """Stacked parameters of untrained networks, and their card."""
    init = lambda key: method_of(config).init(key, (SIDE, SIDE, 3), 3).params  # noqa: E731
    params = jax.device_get(jax.vmap(init)(jax.random.split(jax.random.key(5), count)))
    card = ModelCard(
        CLASSES,
        (SIDE, SIDE, 3),
        config.method.name,
        tuple(f"ck_plus/s{number}" for number in range(count)),
        dataset="ck_plus",
        network=dataclasses.asdict(config.network),
    )
    return params, card


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The checkpoints of a run, as `experiments.run` leaves them."""
    folder = tmp_path_factory.mktemp("pretraining")
    params, card = own_networks()
    save_params(folder / "checkpoints" / "seed_0", 1, params, card.to_json())
    return folder


def weights_of(init, config=STILL, clips=None):
    clips = make_clips(side=SIDE) if clips is None else clips
    return initial_weights(read_initial(str(init)), dataclasses.replace(config, init=str(init)), clips)


@pytest.mark.slow
def test_every_fold_and_replica_starts_from_the_weights_and_unfitting_heads_are_random(run_folder):
    clips = make_clips(subjects=3, side=SIDE)
    config = dataclasses.replace(STILL, network=dataclasses.replace(OWN, embedding=5))
    weights = weights_of(run_folder, config, clips)
    params, _ = own_networks()
    folds = leave_one_subject_out(clips.subject)
    jobs = list(train_folds(clips, None, folds, [0, 1], weights.config, initial=weights.params))
    for job in jobs:
        for part in ("backbone", "primary"):
            for own, given in zip(jax.tree.leaves(job.params[part]), jax.tree.leaves(params[part]), strict=True):
                np.testing.assert_allclose(own, given[0], atol=1e-6)
    auxiliary = [job.params["auxiliary"]["kernel"] for job in jobs]
    assert auxiliary[0].shape[-1] == 5
    assert np.abs(auxiliary[0] - auxiliary[1]).max() > 0.1
    with pytest.raises(ValueError, match=r"init names .*; give its weights too"):
        next(train_folds(clips, None, folds, [0], weights.config))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["meta_sgd", "generated"])
def test_own_networks_of_every_structure_are_read(name, tmp_path):
    config = dataclasses.replace(STILL, method=method_config(name, MethodConfig()))
    params, card = own_networks(config)
    save_params(tmp_path, 1, params, card.to_json())
    dual = params["network"] if name == "generated" else params.params
    found = weights_of(tmp_path, config).params
    assert set(found) == {"backbone", "primary", "auxiliary"}
    state = method_of(config).init(jax.random.key(0), (SIDE, SIDE, 3), 3)
    started = start_from(state.params, found)
    assert jax.tree.structure(started) == jax.tree.structure(state.params)
    part = started["network"] if name == "generated" else started.params
    np.testing.assert_array_equal(part["backbone"]["kernel_1"], dual["backbone"]["kernel_1"][0])


def test_networks_of_several_views_start_from_one(run_folder):
    network = dataclasses.replace(OWN, views=2, view_network="separate")
    config = dataclasses.replace(STILL, network=network)
    state = method_of(config).init(jax.random.key(0), (2, SIDE, SIDE, 3), 3)
    params, _ = own_networks()
    started = start_from(state.params, {"backbone": jax.tree.map(lambda leaf: leaf[0], params["backbone"])})
    for group in range(2):
        np.testing.assert_array_equal(started["backbone"]["kernel_1"][group], params["backbone"]["kernel_1"][0])


@pytest.mark.slow
def test_an_exported_model_gives_the_weights_of_its_run(run_folder, tmp_path):
    params, card = own_networks()
    file = tmp_path / "ck.lightman"
    export_ensemble(file, Ensemble(params, np.ones((2, 1, 1, 1, 3), np.float32)), ensemble_programs(STILL), card)
    exported, stored = weights_of(file), weights_of(run_folder)
    assert "the first of 2 networks of method lightman, trained on ck_plus" in exported.text
    assert exported.trained_on == stored.trained_on == ("ck_plus",)
    assert jax.tree.all(jax.tree.map(np.array_equal, exported.params, stored.params))


@pytest.mark.parametrize(
    ("settings", "clips", "text"),
    [
        ({"width": 16}, {}, "its networks have width 8, this run has width 16; add --width=8"),
        ({"normalisation": "group"}, {}, "have normalisation auto, this run has normalisation group; leave out"),
        ({}, {"side": 12}, r"kernel_1 has the shape \[48, 32\], the network needs \[108, 32\]"),
        ({}, {"corpus": "ck_plus"}, "were trained on ck_plus, and this run tests on ck_plus, whose subjects they know"),
    ],
)
def test_own_networks_that_do_not_fit_or_know_the_test_subjects_are_refused(run_folder, settings, clips, text):
    config = dataclasses.replace(STILL, network=dataclasses.replace(OWN, **settings))
    with pytest.raises(ValueError, match=text):
        weights_of(run_folder, config, make_clips(**{"side": SIDE} | clips))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_safetensors_are_read_in_every_precision_and_named_with_their_digest(dtype, tmp_path):
    tensors = resnet18_tensors(4)
    save_file({name: values.astype(dtype) for name, values in tensors.items()}, tmp_path / "resnet18.safetensors")
    config = TrainConfig(network=NetworkConfig(backbone="resnet18", width=4))
    weights = weights_of(tmp_path / "resnet18.safetensors", config)
    network = weights.config.network
    assert (network.stem, network.normalisation, weights.config.init) == ("imagenet", "affine", "resnet18.safetensors")
    assert weights.config.init_digest in weights.text
    assert set(weights.params) == {"backbone"}
    kernel = weights.params["backbone"]["kernel_stem"]
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel.transpose(3, 2, 0, 1), tensors["conv1.weight"], rtol=1e-2)


def test_pickled_damaged_and_missing_files_are_refused_with_what_to_do(tmp_path):
    content = io.BytesIO(b"\x80\x04 no tensors").getvalue()
    for name, text in (
        ("net.pth", r'torch.load\("net.pth", weights_only=True\), "net.safetensors"\)'),
        ("net.safetensors", "no undamaged safetensors file"),
        ("net.lightman", "is not a model file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=text):
            read_initial(str(tmp_path / name))
    with pytest.raises(ValueError, match="does not exist; give a safetensors file"):
        read_initial(str(tmp_path / "absent.safetensors"))
