"""Small synthetic data and settings that tests share."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from lightman_jax.model.card import ModelCard
from lightman_jax.model.ensemble import Ensemble
from lightman_jax.networks.dual_branch import NetworkConfig, init_params
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.program import method_of
from lightman_jax.types import ClipSet

TINY_RUN = [
    "--width=8",
    "--embedding=4",
    "--shots=1",
    "--macro_shots=1",
    "--meta_batch_size=1",
    "--steps=2",
    "--seeds=2",
    "--ensemble_size=1",
]
CLASSES = ("negative", "positive", "surprise")

_PIECES = [
    "[/]",
    "[red]",
    "[",
    "]",
    "\\",
    "{0}",
    "{x!r}",
    "%s",
    "$",
    "\x1b[2J",
    "\r",
    ":smile:",
    "'",
    '"',
    "=",
    "<b>",
    "张",
    "e\u0301",
]
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="\n"), min_size=1, max_size=12),
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=5).map("".join),
)
"""Any text of one line: markup, formats, control characters, quotation marks and letters of any script among it."""


def random_params(network: NetworkConfig, image_shape: tuple[int, int, int], seed: int = 0) -> Any:
    """Float64 parameters of the dual branch, every entry off its initial zero or one so that no term drops out."""
    shapes = jax.eval_shape(
        lambda key: init_params(key, config=network, image_shape=image_shape, classes=3), jax.random.key(0)
    )
    rng = np.random.default_rng(seed)

    def draw(path: Any, leaf: Any) -> jax.Array:
        centre = 1.0 if "norm_scale" in jax.tree_util.keystr(path) else 0.0
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.1
        return jnp.asarray(centre + spread * rng.normal(size=leaf.shape))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def untrained(config: TrainConfig, views: tuple[str, ...], side: int, **card: Any) -> tuple[Ensemble, ModelCard]:
    """Two networks for clips of several views as they start, and their card; all views have a mean square of 1, 2, 3, ..."""
    method, shape = method_of(config), (len(views), side, side, 3)
    params = [method.init(key, shape, 3).params for key in jax.random.split(jax.random.key(0), 2)]
    square = jnp.broadcast_to(jnp.arange(1.0, 1 + len(views)).reshape(1, 1, -1, 1, 1, 1), (2, 1, len(views), 1, 1, 3))
    ensemble = Ensemble(jax.tree.map(lambda *leaves: jnp.stack(leaves), *params), square)
    return ensemble, ModelCard(CLASSES, shape, config.method.name, ("smic/s1", "smic/s2"), views, **card)


def make_clips(subjects: int = 4, each: int = 2, side: int = 16, seed: int = 0, corpus: str = "smic") -> ClipSet:
    """Clips with a little of their class in them: `each` clips of every class for every subject."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.repeat(np.arange(3), each), subjects).astype(np.int32)
    subject = [f"{corpus}/s{number}" for number in range(1, subjects + 1) for _ in range(3 * each)]
    # A bump of downward motion at a height of its own for each class, alike on both halves of the face.
    rows, columns = np.mgrid[:side, :side] / side
    pattern = np.stack([np.exp(-((rows - y) ** 2 + (columns - 0.5) ** 2) / 0.03) for y in (0.2, 0.5, 0.8)])
    image = rng.normal(size=(len(label), side, side, 3))
    image[..., 1] += 5 * pattern[label]
    clip = tuple(f"{name}/c{row:03d}" for row, name in enumerate(subject))
    return ClipSet(image.astype(np.float32), label, tuple(subject), clip, CLASSES)


def write_flow_release(
    folder: Path, subjects: int = 3, each: int = 2, seed: int = 0, corpora: tuple[str, ...] = ("smic",)
) -> Path:
    """A miniature of the public flow release, its blank before `.png` included."""
    from lightman_jax.data.vision.images import write_image

    pictures = folder / "STSNet_whole_norm_u_v_os"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    pattern = rng.integers(0, 120, size=(3, 28, 28, 3))
    lines = ["dataset,sub,filename_o,label,apex,imagename,sub_filename"]
    for corpus in corpora:
        for number in range(1, subjects + 1):
            for label, code in enumerate(("ne", "po", "sur")):
                for count in range(1, each + 1):
                    subject = f"s{number:02d}" if corpus == "smic" else f"sub{number:02d}"
                    name = f"{subject}_{code}_{count:02d}" if corpus == "smic" else f"EP{label:02d}_{count:02d}f"
                    lines.append(f"{corpus},{subject},{name},{label},,{subject}_{name}.jpg,")
                    image = pattern[label] + rng.integers(0, 120, size=(28, 28, 3))
                    plain = pictures / f"{subject}_{name}.png"
                    write_image(plain, image.astype(np.uint8))
                    if corpus == "smic":
                        plain.rename(pictures / f"{subject}_{name} .png")
    (folder / "combined_3_class2_for_optical_flow.csv").write_text("\n".join(lines) + "\n")
    return folder
