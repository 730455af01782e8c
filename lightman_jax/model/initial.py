"""Weights that trainings start from: files in the names of torchvision and timm, and networks that this package has trained."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from lightman_jax.meta.inner_loop import initial_params
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.model.card import ModelCard
from lightman_jax.model.checkpoint import load_arrays
from lightman_jax.model.saved_model import load_model
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.networks.pretrained import Tensors, backbone_of_tensors, is_classifier, network_of_tensors
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import trained_shapes
from lightman_jax.types import ClipSet, Params, natural_order

_PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar")
_SAME_NETWORK = ("backbone", "width", "normalisation", "stem")
_HEADS = ("primary", "auxiliary")


class InitialFile(NamedTuple):
    """Content of a file of weights: tensors in foreign names, or the card and the dual branch of one own network.

    Attributes:
      path: of the file or folder.
      digest: its SHA-256; of a checkpoint, that of `checkpoint.json`, which has the digests of all other files.
      tensors: by name, without those of the classifier; empty for own networks.
      card: of own networks, else None.
      params: of an own network, else None.
    """

    path: Path
    digest: str
    tensors: Tensors
    card: ModelCard | None = None
    params: Params = None

    def network(self, network: NetworkConfig) -> NetworkConfig:
        """The network with `stem` and `normalisation`, where they are `auto`, as the weights need them.

        Raises:
          ValueError: the weights are of another network; the message has what was found and the flags to add.
        """
        with _naming(self.path):
            if self.card is None:
                return network_of_tensors(self.tensors, network)
            return _network_of_card(self.card, network)


class InitialWeights(NamedTuple):
    """Weights that every training of a run starts from.

    Attributes:
      config: the settings with the network that the weights need, and the name and digest of the file.
      params: as `train_folds` takes them: the backbone, and the heads that fit; other heads are random.
      text: file, digest and contents in words.
      trained_on: corpora that networks of this package were trained on; empty for other files, of which this is unknown.
    """

    config: TrainConfig
    params: Params
    text: str
    trained_on: tuple[str, ...]


def read_initial(init: str) -> InitialFile:
    """Read a file of weights.

    Args:
      init: a safetensors file in the names of torchvision or timm, the workdir of a run, a folder of its checkpoints, or an
        exported model file. Of several own networks, as leave-one-subject-out trains them, the first one is read.

    Raises:
      ValueError: the file is missing, damaged, or of another kind; the message has what to do.
      OSError: the file cannot be read.
    """
    path = Path(init).expanduser()
    with _naming(path):
        if path.is_dir():
            return _read_checkpoint(path)
        if path.suffix.lower() in _PICKLED:
            target = path.with_suffix(".safetensors").name
            raise ValueError(
                "a file of that kind can run any code when it is read; convert it with PyTorch, where you trust it:\n"
                f'  import torch, safetensors.torch as st\n  st.save_file(torch.load("{path.name}", weights_only=True), "{target}")'
            )
        if not path.exists():
            raise ValueError(
                "it does not exist; give a safetensors file, the workdir of a run, or an exported model file"
            )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if path.suffix == ".safetensors":
            return InitialFile(path, digest, _read_safetensors(path))
        model = load_model(path)
        known = {"format_version", *(field.name for field in dataclasses.fields(ModelCard))}
        card = ModelCard.from_json({name: value for name, value in model.about.items() if name in known})
        return InitialFile(path, digest, {}, card, _dual_branch(_unflattened(card, model.weights)))


def initial_weights(file: InitialFile, config: TrainConfig, clips: ClipSet) -> InitialWeights:
    """The weights of a file as the trainings of a run take them.

    Args:
      file: from `read_initial`.
      config: settings of the training.
      clips: micro-expression clips of the run.

    Raises:
      ValueError: the weights do not fit the network and the images; the message has the tensor, both shapes and the flags to add.
        Or own networks were trained on a corpus of the clips, whose test subjects they would know.
    """
    network = file.network(config.network)
    config = dataclasses.replace(config, network=network, init=file.path.name, init_digest=file.digest)
    source = f"{file.path.name} (SHA-256 {file.digest})"
    with _naming(file.path):
        if file.card is not None:
            return _own_weights(file.card, file.params, config, clips, source)
        kernels = _shapes(clips, config)["backbone"]
        first = kernels["kernel_stem" if network.backbone == "resnet18" else "kernel_1_1"]
        params = {"backbone": backbone_of_tensors(file.tensors, network, first.shape[-2])}
    return InitialWeights(config, params, f"{source}, the backbone {network.backbone} with random heads", ())


def corpora_of(card: ModelCard) -> tuple[str, ...]:
    """Corpora that networks were trained on; cards before version 5 have them in the names of their folds alone."""
    return card.trained_on or tuple(sorted({card.dataset, *(fold.split("/")[0] for fold in card.folds)}))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the path before the message of a `ValueError`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path} cannot be used as --init: {error}") from error


def _read_safetensors(path: Path) -> dict[str, NDArray[np.floating]]:
    try:
        # The classifier is most of a VGG file and is not used.
        with safe_open(path, framework="np") as file:
            return {name: np.asarray(file.get_tensor(name)) for name in file.keys() if not is_classifier(name)}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"it is no undamaged safetensors file ({error})") from error


def _read_checkpoint(path: Path) -> InitialFile:
    """The first network of a run, or of one of its checkpoints."""
    folder = path
    if (folder / "checkpoints").is_dir():
        seeds = sorted((folder / "checkpoints").glob("seed_*"), key=lambda path: natural_order(path.name))
        folder = seeds[0] if seeds else folder / "checkpoints"
    arrays, metadata, digest = load_arrays(folder)
    return InitialFile(path, digest, {}, ModelCard.from_json(metadata), _dual_branch(arrays))


def _dual_branch(params: Params) -> Params:
    """Backbone and heads of the first of stacked networks."""
    params = params["params"] if "inner_lr" in params else params
    params = params["network"] if "generator" in params else params
    return {name: jax.tree.map(lambda leaf: np.asarray(leaf[0]), params[name]) for name in ("backbone", *_HEADS)}


def _shapes(clips: ClipSet, config: TrainConfig) -> Params:
    """Shapes of the dual branch that a run trains; with networks of several views, with an axis of groups."""
    shapes = initial_params(trained_shapes(clips, config))
    return shapes["network"] if "generator" in shapes else shapes


def _fits(params: Params, shapes: Params) -> bool:
    """Whether arrays have the names and shapes of a run, or those of one group of its networks."""
    own: Any = jax.tree.structure(params)
    if own != jax.tree.structure(shapes):
        return False
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(shapes), strict=True)
    return all(array.shape in (leaf.shape, leaf.shape[1:]) for array, leaf in pairs)


def _refuse_other_shapes(backbone: Params, needed: Params, card: ModelCard) -> None:
    if _fits(backbone, needed):
        return
    differing = sorted(n for n in backbone.keys() | needed.keys() if not _fits(backbone.get(n), needed.get(n)))
    found, other = (
        str(list(part[differing[0]].shape)) if differing[0] in part else "nothing" for part in (backbone, needed)
    )
    raise ValueError(
        f"{differing[0]} has the shape {found}, the network needs {other} ({len(differing)} tensors differ); its networks are for "
        f"images {list(card.image_shape)}, so use the same size, channels and views"
    )


def _unflattened(card: ModelCard, leaves: Sequence[Any]) -> Params:
    """Stacked parameters from the weights of a model file, which begin with the parameters and have their order."""
    example = ClipSet(
        *(np.zeros((1, *card.image_shape), np.float32), np.zeros(1, np.int32)),
        *(("a/b",), ("a/b/c",), card.classes, card.views),
    )
    method = method_config(card.method, MethodConfig())
    shapes = initial_params(trained_shapes(example, TrainConfig(method=method, network=NetworkConfig(**card.network))))
    tree: Any = jax.tree.structure(shapes)
    return jax.tree.unflatten(tree, [np.asarray(leaf) for leaf in leaves[: tree.num_leaves]])


def _network_of_card(card: ModelCard, network: NetworkConfig) -> NetworkConfig:
    given = NetworkConfig(**card.network)
    for name in _SAME_NETWORK:
        own, needed = getattr(given, name), getattr(network, name)
        if needed != "auto" and own != needed:
            remedy = f"add --{name}={own}" if own != "auto" else f"leave out --{name}"
            raise ValueError(f"its networks have {name} {own}, this run has {name} {needed}; {remedy}")
    return dataclasses.replace(network, normalisation=given.normalisation, stem=given.stem)


def _own_weights(card: ModelCard, given: Params, config: TrainConfig, clips: ClipSet, source: str) -> InitialWeights:
    """The backbone of an own network, and its heads where they fit."""
    trained_on = corpora_of(card)
    known = sorted(set(trained_on) & set(clips.dataset))
    if known:
        raise ValueError(
            f"its networks were trained on {', '.join(trained_on)}, and this run tests on {', '.join(known)}, whose subjects they "
            "know; give networks that were trained on other corpora"
        )
    needed = _shapes(clips, config)
    _refuse_other_shapes(given["backbone"], needed["backbone"], card)
    params = {"backbone": given["backbone"]}
    for head in _HEADS:
        same_outputs = head == "auxiliary" or card.classes == clips.classes
        if same_outputs and _fits(given[head], needed[head]):
            params[head] = given[head]
    first = f"the first of {card.networks} networks" if card.networks > 1 else "the network"
    parts = " and ".join(("the backbone", *(f"the {head} head" for head in _HEADS if head in params)))
    text = f"{source}, {parts} of {first} of method {card.method}, trained on {', '.join(trained_on)}"
    return InitialWeights(config, params, text, trained_on)
