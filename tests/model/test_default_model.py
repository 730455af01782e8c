"""The default model: the same recipe gives the same networks, and the file in the package is what its recipe describes."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import lightman_jax as lj
from lightman_jax.data.preparation.motion_config import MotionConfig
from lightman_jax.model import default_model, saved_model
from lightman_jax.model.card import Measurement, ModelCard
from lightman_jax.model.default_model import PATCH_RECIPE, RECIPE, default_card, train_default_model
from lightman_jax.model.export import export_ensemble
from lightman_jax.model.saved_model import READ_VERSIONS, load_model
from lightman_jax.networks.dual_branch import NetworkConfig

# The recipe without geometry in small: nothing but sizes differs.
SMALL = dataclasses.replace(
    PATCH_RECIPE,
    simulated=dataclasses.replace(PATCH_RECIPE.simulated, subjects=2, micro_clips=1),
    train=dataclasses.replace(
        PATCH_RECIPE.train,
        steps=2,
        network=dataclasses.replace(PATCH_RECIPE.train.network, width=4, embedding=4),
        task=dataclasses.replace(PATCH_RECIPE.train.task, shots=1, macro_shots=1, meta_batch_size=1),
    ),
    networks=2,
)
SIZES = {"networks", "folds", "network", "steps", "origin"}
ROOT = Path(lj.__file__).parents[1]
ABOUT_FILE = {"leaves", "jax", "programs"}


@pytest.fixture(scope="module")
def shipped():
    return load_model(lj.DEFAULT_MODEL)


def test_the_file_in_the_package_is_what_its_recipe_describes(shipped):
    own = ModelCard.from_json({name: value for name, value in shipped.about.items() if name not in ABOUT_FILE})
    # Settings that are younger than the file have their defaults.
    motion, network = MotionConfig(**own.motion), NetworkConfig(**own.network)
    whole = dataclasses.replace(own, motion=dataclasses.asdict(motion), network=dataclasses.asdict(network))
    assert whole.to_json() == dataclasses.replace(default_card(RECIPE), measured=own.measured).to_json()
    assert not own.stand_in
    assert "heads of ICT-FaceKit, MIT licence" in own.origin
    assert "no face was recorded" in own.origin
    measured = own.measured
    for mean, low, high in (measured.uf1, measured.uar):
        assert 0 < low < mean < high < 1
    assert re.search(r"\d+ clips of \d+ subjects", measured.data)
    assert {"predict", "saliency", "adapt"} == shipped.about["programs"].keys()


def test_the_file_is_small_and_any_supported_jax_reads_it(shipped):
    assert lj.DEFAULT_MODEL.stat().st_size <= 1_000_000
    (oldest,) = re.findall(r'"jax>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    series = [[int(part) for part in text.split(".")[:2]] for text in (shipped.about["jax"], oldest)]
    assert series[0] <= series[1], "write it with the oldest supported JAX"


def test_a_later_jax_that_refuses_the_serialisation_of_an_old_one_reads_the_programs(shipped, monkeypatch):
    def refuse(blob):
        raise ValueError("older than the 6-month backward-compatibility window")

    monkeypatch.setattr(saved_model.export, "deserialize", refuse)
    images = np.random.default_rng(0).normal(size=(2, *shipped.about["image_shape"]))
    np.testing.assert_allclose(load_model(lj.DEFAULT_MODEL).predict(images), shipped.predict(images), atol=1e-6)


def test_the_package_has_the_file_with_its_description_and_licence():
    assert {"README.md", "ICT_FACEKIT_LICENSE"} <= {path.name for path in lj.DEFAULT_MODEL.parent.iterdir()}
    assert '"model/default/*"' in (ROOT / "pyproject.toml").read_text()
    assert "python -m experiments.default_model" in (lj.DEFAULT_MODEL.parent / "README.md").read_text()


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_networks_and_predictions(tmp_path):
    first, second = train_default_model(SMALL), train_default_model(SMALL)
    assert first.card == second.card
    for one, two in zip(*map(jax.tree.leaves, (first.ensemble, second.ensemble)), strict=True):
        np.testing.assert_array_equal(one, two)
    whole = default_card(PATCH_RECIPE).to_json()
    assert {name for name, value in first.card.to_json().items() if value != whole[name]} == SIZES
    one, other = jax.tree.leaves(first.ensemble.params)[3]
    assert not np.array_equal(one, other)
    export_ensemble(tmp_path / "small.lightman", *first)
    images = np.random.default_rng(0).normal(size=(3, *first.card.image_shape)).astype(np.float32)
    predicted = load_model(tmp_path / "small.lightman").predict(images)
    np.testing.assert_array_equal(predicted, load_model(tmp_path / "small.lightman").predict(images))
    np.testing.assert_allclose(predicted, second.opened().predict(images), atol=1e-6)


def test_the_networks_see_each_view_of_a_clip_as_a_clip_of_its_own(monkeypatch):
    pools = []

    def train(micro, *_):
        pools.append(micro)
        raise FloatingPointError

    monkeypatch.setattr(default_model, "train_folds", train)
    for views in (("farneback_rise",), ("megc2019_rise", "causalnet_rise")):
        with pytest.raises(FloatingPointError):
            train_default_model(dataclasses.replace(SMALL, views=views))
    one, both = pools
    assert both.clip == tuple(f"{name.rpartition('/')[0]}/{view}" for name in one.clip for view in views)
    assert both.subject == tuple(np.repeat(one.subject, 2).tolist())
    np.testing.assert_array_equal(both.label, np.repeat(one.label, 2))
    # Patches have one crop.
    np.testing.assert_array_equal(both.image, np.repeat(one.image, 2, axis=0))


def test_the_recipe_of_the_package_takes_the_place_of_the_geometry():
    config = RECIPE.with_geometry(Path("cloned/mesh.obj"))
    assert config.simulated.geometry == Path("cloned/mesh.obj")
    assert default_card(config) == default_card(RECIPE)
    assert len(RECIPE.views) > 1 == len(PATCH_RECIPE.views)
    assert "patches" in default_card(PATCH_RECIPE).origin


@pytest.mark.slow
def test_a_process_with_only_jax_and_numpy_predicts_with_the_default_model(tmp_path):
    code = """
import sys
for name in ("flatbuffers", "flax", "optax", "chex", "lightman_jax", "cv2"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import numpy as np
from lightman_exported import load_model
model = load_model(sys.argv[1])
images = np.random.default_rng(0).normal(size=(2, *model.about["image_shape"]))
print(model.predict(images).shape[1:], model.about["measured"]["data"])
"""
    words = [sys.executable, "-c", code, str(lj.DEFAULT_MODEL)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(2, 3)")


def test_a_card_keeps_its_scores_and_one_without_that_field_is_read():
    measured = Measurement("9 clips of 3 subjects", (0.5, 0.4, 0.6), (0.52, 0.41, 0.63))
    card = ModelCard(("a", "b"), (8, 8, 3), "joint", ("s/1",), measured=measured)
    assert ModelCard.from_json(card.to_json()) == card
    assert str(card.measured) == "UF1 0.500 [0.400, 0.600] and UAR 0.520 [0.410, 0.630] on 9 clips of 3 subjects"
    old = {name: value for name, value in card.to_json().items() if name != "measured"}
    assert ModelCard.from_json(old | {"format_version": READ_VERSIONS[0]}).measured is None
    with pytest.raises(ValueError, match="incomplete or has unknown fields"):
        ModelCard.from_json(card.to_json() | {"measured": {"uf1": [0.5]}})


def test_a_card_names_the_channels_and_an_older_one_has_none():
    card = ModelCard(("a", "b"), (8, 8, 3), "joint", ("s/1",), motion={"representation": "apex"}, channels="rgb")
    assert ModelCard.from_json(card.to_json()).channels == "rgb"
    old = {name: value for name, value in card.to_json().items() if name != "channels"} | {"format_version": 4}
    assert ModelCard.from_json(old).channels == "auto"
    with pytest.raises(ValueError, match=r"fold_rms of grey levels 0\.\.1, which are 0\.\.255 now; train it again"):
        ModelCard.from_json(old | {"scaling": "fold_rms"})
