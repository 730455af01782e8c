"""Load an exported model file and predict. Needs only JAX and NumPy; every model file contains a copy of this module.

A model file is a zip archive: `model.json` is the model card, `params/N.npy` are the weights, `NAME.stablehlo` and
`NAME.jax_export` are the programs, the latter serialised by `jax.export`. Nothing in it is unpickled or executed as Python.

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

FORMAT_VERSION = 5
"""Format version of model cards and files: a card describes the networks since 2, their views since 3, their scores since 4, the
channels of their images since 5."""
READ_VERSIONS = (3, 4, FORMAT_VERSION)
"""Versions that can be read; a card of version 3 has no field `measured`, one of version 4 no `channels`."""

ABOUT, PARAMS, MODULE, SERIALISED = "model.json", "params", ".stablehlo", ".jax_export"

_MOST_BYTES = 1 << 33
_DIGEST = b"sha256:"

Program = Callable[..., jax.Array]
"""Takes all leaves of the weights, and then its inputs."""


class Model:
    """Trained networks that predict together.

    Args:
      about: content of `model.json`, the fields of `lightman_jax.model.card.ModelCard`.
      params: leaves of the weights, in the order of the programs' arguments.
      programs: `predict`, `saliency` and, if the method adapts, `adapt`.
    """

    def __init__(self, about: dict[str, Any], params: Sequence[Any], programs: Mapping[str, Program]) -> None:
        self.about = about
        self._params, self._programs = [jax.device_put(leaf) for leaf in params], dict(programs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return tuple(self.about["classes"])

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views of a clip, in the order of their axis; empty for images without a view axis."""
        return tuple(self.about["views"])

    @property
    def weights(self) -> tuple[Any, ...]:
        """Leaves of the weights, in the order of the programs' arguments, with a leading axis of networks."""
        return tuple(self._params)

    @property
    def adapts(self) -> bool:
        """Whether the networks can be adapted to labelled clips of a subject."""
        return "adapt" in self._programs

    def predict(self, images: Any) -> np.ndarray:
        """Predict clips with each network.

        Args:
          images: `[b, *about["image_shape"]]` unscaled images, computed with the settings `about["motion"]`; flow in pixels of a
            face `about["motion"]["face_side"]` pixels wide, or grey levels 0..255, red, green and blue if `about["channels"]` is
            `rgb`. With views `[b, V, H, W, C]`, a view that a clip lacks is NaN in all
            its pixels.

        Returns:
          `[networks, b, classes]` probabilities, the mean over the views that a clip has.

        Raises:
          ValueError: images of another shape, values that are not finite in a view that is not missing, or a clip without a view.
        """
        images, padded = self._checked(images)
        return self._run("predict", padded)[:, : len(images)]

    def saliency(self, images: Any) -> np.ndarray:
        """Saliency `|x * d logit / d x|` of the class with the largest mean probability, `[b, H, W]`; errors as `predict`.

        With views it is `[b, V, H, W]`, the saliency of each view for the prediction from all of them; 0 for a missing view.
        """
        images, padded = self._checked(images)
        return self._run("saliency", padded)[: len(images)]

    def adapt(self, support: Any, label: Any, images: Any) -> np.ndarray:
        """Predict clips with each network after adaptation to labelled clips of the same subject.

        Args:
          support: `[s, *image_shape]` labelled images.
          label: `[s]` class indices.
          images: as for `predict`.

        Returns:
          `[networks, b, classes]` probabilities.

        Raises:
          ValueError: as for `predict`; labels that do not match the images or are no class; or a method that does not adapt.
        """
        if not self.adapts:
            raise ValueError(f"method {self.about['method']!r} does not adapt to labelled clips; use predict")
        support, _ = self._checked(support)
        given = np.asarray(label)
        known = given.dtype.kind in "iuf" and np.isin(given, np.arange(len(self.classes))).all()
        if not known or given.shape != (len(support),) or not len(given):
            raise ValueError(
                f"{len(support)} labelled images need one class index below {len(self.classes)} each, got {given.tolist()}"
            )
        images, padded = self._checked(images)
        return self._run("adapt", support, given.astype(np.int32), padded)[:, : len(images)]

    def _run(self, name: str, *inputs: np.ndarray) -> np.ndarray:
        with jax.transfer_guard("allow"):
            return np.asarray(self._programs[name](*self._params, *inputs))

    def _checked(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        """The images, and a copy padded to a power of two, so that few batch sizes are compiled."""
        images, shape = np.asarray(images, np.float32), tuple(self.about["image_shape"])
        if images.shape[1:] != shape or not len(images):
            views = f", with the {len(self.views)} views {', '.join(self.views)}" if self.views else ""
            raise ValueError(
                f"images have the shape {images.shape}; this model takes [b, {', '.join(map(str, shape))}], b from 1{views}"
            )
        if self.views:
            missing = np.isnan(images).all(axis=(2, 3, 4))
            if missing.all(axis=1).any():
                raise ValueError(f"clip {missing.all(axis=1).argmax()} has none of the views {', '.join(self.views)}")
        else:
            missing = np.zeros(len(images), bool)
        if not np.isfinite(images[~missing]).all():
            rule = "; a missing view is NaN in all its pixels" if self.views else ""
            raise ValueError(f"an image has values that are not finite{rule}")
        padded = np.zeros((1 << (len(images) - 1).bit_length(), *shape), np.float32)
        padded[: len(images)] = images
        return images, padded


def load_model(path: str | Path) -> Model:
    """Read a model file.

    Raises:
      OSError: the file cannot be read.
      ValueError: not a model file, another format version, or a damaged file.
    """
    path = Path(path)
    archive = _opened(path)
    try:
        about = json.loads(archive.read(ABOUT))
        if not isinstance(about, dict) or about.get("format_version") not in READ_VERSIONS:
            found = about.get("format_version") if isinstance(about, dict) else None
            raise ValueError(
                f"it has format version {found}, this release reads {', '.join(map(str, READ_VERSIONS))}; export it again "
                "with `python -m experiments.export RUN`"
            )
        refuse_other_unit(about)
        if _series(about["jax"]) > _series(jax.__version__):
            newer = f"it was written by JAX {about['jax']}, newer than the installed {jax.__version__}"
            raise ValueError(f"{newer}: pip install -U jax, or export it with the installed version")
        params = [
            np.load(io.BytesIO(archive.read(f"{PARAMS}/{row}.npy")), allow_pickle=False)
            for row in range(about["leaves"])
        ]
        programs = {name: jax.jit(_program(archive, name, about).call) for name in about["programs"]}
    except (KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be used as a model: {error}") from error
    return Model(about, params, programs)


def refuse_other_unit(about: Mapping[str, Any]) -> None:
    """Raise `ValueError` for networks whose images were in another unit than those of this release, if their scaling has one.

    Up to version 4, images other than flow had grey levels 0..1.
    """
    is_flow = about["motion"].get("representation", "flow") == "flow"
    if about["format_version"] < FORMAT_VERSION and about["scaling"] == "fold_rms" and not is_flow:
        raise ValueError(
            "its networks have the scaling fold_rms of grey levels 0..1, which are 0..255 now; train it again"
        )


def sealed(archive: bytes) -> bytes:
    """Add a digest as comment to a zip archive without a comment."""
    comment = _DIGEST + hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + len(comment).to_bytes(2, "little") + comment


def _series(version: str) -> tuple[int, ...]:
    """First two numbers of a version; programs can be read by the JAX series that wrote them and by later ones."""
    return tuple(int(part) for part in version.split(".")[:2])


def _opened(path: Path) -> zipfile.ZipFile:
    """The archive, after its digest was checked."""
    content = path.read_bytes()
    comment = len(_DIGEST) + 64
    body = content[: -comment - 2] + b"\0\0"
    if not zipfile.is_zipfile(io.BytesIO(content)) or content[-comment:][: len(_DIGEST)] != _DIGEST:
        raise ValueError(
            f"{path} is not a model file, or is truncated; write one with `python -m experiments.export RUN`"
        )
    if content[-comment:] != _DIGEST + hashlib.sha256(body).hexdigest().encode():
        raise ValueError(
            f"{path} is damaged, its digest does not match; write it again with `python -m experiments.export RUN`"
        )
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
        raise ValueError(f"{path} declares more than {_MOST_BYTES:,} bytes")
    return archive


def _program(archive: zipfile.ZipFile, name: str, about: dict[str, Any]) -> export.Exported:
    try:
        return export.deserialize(bytearray(archive.read(name + SERIALISED)))
    except (ImportError, ValueError):
        # jax.export reads its own format with the package flatbuffers, which is not a dependency of JAX, and refuses it after six
        # months; the program itself remains readable.
        return _assembled(archive.read(name + MODULE), about["programs"][name])


def _assembled(module: bytes, signature: dict[str, Any]) -> export.Exported:
    """The result of `jax.export.deserialize`, assembled from the program and its signature."""
    scope = export.SymbolicScope()
    inputs = tuple(_aval(text, scope) for text in signature["inputs"])
    outputs = (_aval(signature["output"], scope),)
    values = {
        "fun_name": signature["name"],
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
        "platforms": tuple(signature["platforms"]),
        "ordered_effects": (),
        "unordered_effects": (),
        "disabled_safety_checks": (),
        "mlir_module_serialized": module,
        "calling_convention_version": signature["calling_convention_version"],
        "module_kept_var_idx": tuple(signature["kept"]),
        "uses_global_constants": signature["uses_global_constants"],
        "_get_vjp": None,
    }
    return export.Exported(**{field.name: values[field.name] for field in dataclasses.fields(export.Exported)})


def _aval(text: str, scope: export.SymbolicScope) -> Any:
    dtype, shape = text.rstrip("]").split("[")
    return jax.core.ShapedArray(export.symbolic_shape(shape, scope=scope), np.dtype(dtype))
