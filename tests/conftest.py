"""Two host devices, strict promotion of dtypes and ranks, and small invented data for every test."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from lightman_jax.types import ClipSet

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def _with_standard_promotion(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return run


# The strict mode is for this project's code; optax's Adam raises a float to an integer count here.
optax.tree.bias_correction = _with_standard_promotion(optax.tree.bias_correction)

CLASSES = ("negative", "positive", "surprise")


@pytest.fixture
def x64() -> Iterator[None]:
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def make_clips(subjects: int = 4, each: int = 2, side: int = 16, seed: int = 0, corpus: str = "smic") -> ClipSet:
    """Clips with a little of their class in them: `each` clips of every class for every subject."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.repeat(np.arange(3), each), subjects).astype(np.int32)
    subject = [f"{corpus}/s{number}" for number in range(1, subjects + 1) for _ in range(3 * each)]
    pattern = rng.normal(size=(3, side, side, 3))
    image = pattern[label] + rng.normal(size=(len(label), side, side, 3))
    clip = tuple(f"{name}/c{row:03d}" for row, name in enumerate(subject))
    return ClipSet(image.astype(np.float32), label, tuple(subject), clip, CLASSES)


def write_flow_release(folder: Path, subjects: int = 3, each: int = 2, seed: int = 0, corpora: tuple[str, ...] = ("smic",)) -> Path:
    """A miniature of the public flow release, its blank before `.png` included."""
    from lightman_jax.data.images import write_image

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
