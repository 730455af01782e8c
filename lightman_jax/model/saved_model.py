"""Read a model file and predict with it; this module needs JAX and NumPy alone, and a copy of it lies in every model file.

A model file is a zip archive: `model.json` says what it predicts, from what, and what it was trained on; `params/N.npy` hold the
weights; `NAME.stablehlo` and `NAME.jax_export` hold each program, the latter as `jax.export` serialises it. Nothing in it is
unpickled or run as Python.

    import sys
    sys.path.insert(0, "smic.lightman")
    from lightman_exported import load_model
    probabilities = load_model("smic.lightman").predict(images)
"""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

FORMAT_VERSION = 1
"""Of a model file."""

ABOUT, PARAMS, MODULE, SERIALISED = "model.json", "params", ".stablehlo", ".jax_export"

_MOST_BYTES = 1 << 33
_DIGEST = b"sha256:"

Program = Callable[..., jax.Array]
"""Takes all weights, one after the other, and then what the program is asked."""


class Model:
    """Trained networks that predict together.

    Args:
      about: what `model.json` says; see `README.md`, "A model in one file".
      params: the weights' leaves, as the programs take them.
      programs: `predict`, `look` and, unless the method adapts to no task, `adapt`.
    """

    def __init__(self, about: dict[str, Any], params: Sequence[Any], programs: Mapping[str, Program]) -> None:
        self.about = about
        self._params, self._programs = [jax.device_put(leaf) for leaf in params], dict(programs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return tuple(self.about["classes"])

    @property
    def adapts(self) -> bool:
        """Whether the networks can be adapted to labelled clips of a person."""
        return "adapt" in self._programs

    def predict(self, images: Any) -> np.ndarray:
        """What each network says.

        Args:
          images: `[b, *about["image_shape"]]`, unscaled, made as `about["motion"]` says; flow in pixels of a face `face_side` wide.

        Returns:
          `[networks, b, classes]` probabilities.

        Raises:
          ValueError: images of another shape, or not finite.
        """
        images, padded = self._checked(images)
        return np.asarray(self._programs["predict"](*self._params, padded))[:, : len(images)]

    def look(self, images: Any) -> np.ndarray:
        """Where the class with the largest mean probability depends on the movement, `[b, H, W]`; errors as `predict`."""
        images, padded = self._checked(images)
        return np.asarray(self._programs["look"](*self._params, padded))[: len(images)]

    def adapt(self, support: Any, label: Any, images: Any) -> np.ndarray:
        """What each network says once it was adapted to labelled clips of the same person.

        Args:
          support: `[s, *image_shape]`.
          label: `[s]` numbers of classes.
          images: as `predict`.

        Returns:
          `[networks, b, classes]` probabilities.

        Raises:
          ValueError: as `predict`, no label for an image, a number that is no class, or a method that adapts to no task.
        """
        if not self.adapts:
            raise ValueError(
                f"networks of method {self.about['method']!r} adapt to no task; predict without labelled clips"
            )
        support, _ = self._checked(support)
        label = np.asarray(label, np.int32)
        if label.shape != (len(support),) or not len(label) or not np.isin(label, np.arange(len(self.classes))).all():
            raise ValueError(
                f"{len(support)} labelled images need as many numbers below {len(self.classes)}, got {label.tolist()}"
            )
        images, padded = self._checked(images)
        return np.asarray(self._programs["adapt"](*self._params, support, label, padded))[:, : len(images)]

    def _checked(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        """The images, and the same filled up to a power of two, so that few sizes are compiled."""
        images, shape = np.asarray(images, np.float32), tuple(self.about["image_shape"])
        if images.shape[1:] != shape or not len(images):
            raise ValueError(
                f"images have the shape {images.shape}; this model takes [b, {', '.join(map(str, shape))}], b from 1"
            )
        if not np.isfinite(images).all():
            raise ValueError("an image holds numbers that are not finite")
        filled = np.zeros((1 << (len(images) - 1).bit_length(), *shape), np.float32)
        filled[: len(images)] = images
        return images, filled


def load_model(path: str | Path) -> Model:
    """Read a model file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no model file, of another format version, or damaged.
    """
    path = Path(path)
    archive = _opened(path)
    try:
        about = json.loads(archive.read(ABOUT))
        if not isinstance(about, dict) or about.get("format_version") != FORMAT_VERSION:
            found = about.get("format_version") if isinstance(about, dict) else None
            raise ValueError(f"has format version {found}, this release reads {FORMAT_VERSION}; export it again")
        if _series(about["jax"]) > _series(jax.__version__):
            newer = f"was written by JAX {about['jax']}, and this is {jax.__version__}"
            raise ValueError(f"{newer}: pip install -U jax, or export it by this version")
        params = [
            np.load(io.BytesIO(archive.read(f"{PARAMS}/{row}.npy")), allow_pickle=False)
            for row in range(about["leaves"])
        ]
        programs = {name: jax.jit(_program(archive, name, about).call) for name in about["programs"]}
    except (KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be used as a model: {error}") from error
    return Model(about, params, programs)


def read_about(path: str | Path) -> dict[str, Any]:
    """What `model.json` says, without the programs; errors as `load_model`."""
    return json.loads(_opened(Path(path)).read(ABOUT))


def sealed(archive: bytes) -> bytes:
    """A zip archive without a comment, with a digest of itself as comment."""
    comment = _DIGEST + hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + len(comment).to_bytes(2, "little") + comment


def _series(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: programs are read by their own series and later ones."""
    return tuple(int(part) for part in version.split(".")[:2])


def _opened(path: Path) -> zipfile.ZipFile:
    """The archive, once it is as it was written."""
    content = path.read_bytes()
    comment = len(_DIGEST) + 64
    body = content[: -comment - 2] + b"\0\0"
    if not zipfile.is_zipfile(io.BytesIO(content)) or content[-comment:][: len(_DIGEST)] != _DIGEST:
        raise ValueError(f"{path} is no model file, or was cut short; write one by `python -m experiments.export RUN`")
    if content[-comment:] != _DIGEST + hashlib.sha256(body).hexdigest().encode():
        raise ValueError(f"{path} is damaged: it is not as it was written; export it again")
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
        raise ValueError(f"{path} claims more than {_MOST_BYTES} bytes")
    return archive


def _program(archive: zipfile.ZipFile, name: str, about: dict[str, Any]) -> export.Exported:
    try:
        return export.deserialize(bytearray(archive.read(name + SERIALISED)))
    except ImportError:
        # jax.export reads its own format with the package flatbuffers, which JAX does not bring.
        return _assembled(archive.read(name + MODULE), about["programs"][name])


def _assembled(module: bytes, said: dict[str, Any]) -> export.Exported:
    """What `jax.export.deserialize` would give, from the program and its signature."""
    scope = export.SymbolicScope()
    inputs = tuple(_aval(text, scope) for text in said["inputs"])
    outputs = (_aval(said["output"], scope),)
    values = {
        "fun_name": said["name"],
        "in_tree": jax.tree.structure((inputs, {})),
        "in_avals": inputs,
        "out_tree": jax.tree.structure(0),
        "out_avals": outputs,
        "in_shardings_hlo": (None,) * len(inputs),
        "out_shardings_hlo": (None,),
        "_has_named_shardings": False,
        "_in_named_shardings": (None,) * len(inputs),
        "_out_named_shardings": (None,),
        "nr_devices": 1,
        "platforms": tuple(said["platforms"]),
        "ordered_effects": (),
        "unordered_effects": (),
        "disabled_safety_checks": (),
        "mlir_module_serialized": module,
        "calling_convention_version": said["calling_convention_version"],
        "module_kept_var_idx": tuple(said["kept"]),
        "uses_global_constants": said["uses_global_constants"],
        "_get_vjp": None,
    }
    return export.Exported(**{field.name: values[field.name] for field in dataclasses.fields(export.Exported)})


def _aval(text: str, scope: export.SymbolicScope) -> Any:
    dtype, shape = text.rstrip("]").split("[")
    return jax.core.ShapedArray(export.symbolic_shape(shape, scope=scope), np.dtype(dtype))
