"""Frozen dataclasses as JSON: written field by field, read back with every type checked."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from experiments.cli.flags import ConfigError, as_config_error
from lightman_jax.files import write_atomic

Record = TypeVar("Record")

FORMAT_VERSION = 2
"""Of the JSON files of a run: `config.json`, `metrics.json`, `selection.json` and `results.json`."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with its format version, atomically.

    Raises:
      ValueError: a number is not finite.
      OSError: the file cannot be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **content}, indent=1, allow_nan=False)
    write_atomic(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of this format version.

    Raises:
      ValueError: the file is no JSON object, or has another version; the message has the command to make it again.
      OSError: the file cannot be read.
    """
    content = json.loads(path.read_text())
    found = content.get("format_version") if isinstance(content, dict) else None
    if found != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {found}, this version of the package reads {FORMAT_VERSION}; run the experiment again with "
            "python -m experiments.run, the same flags and a new --workdir"
        )
    return {name: value for name, value in content.items() if name != "format_version"}


def as_json(record: Any) -> dict[str, Any]:
    """A frozen dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(record)))


def from_json(kind: type[Record], values: Any, inside: str = "") -> Record:
    """A frozen dataclass from JSON values; missing fields take their defaults.

    Args:
      kind: the dataclass.
      values: a JSON object.
      inside: dotted name of the object, for messages.

    Raises:
      ConfigError: an unknown, missing, ill-typed or refused value; names it.
    """
    place = inside.rstrip(".") or "the settings"
    if not isinstance(values, dict):
        raise ConfigError(f"{place} must be an object, found {values!r}")
    hints = get_type_hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ConfigError(f"{inside}{unknown[0]} is unknown to this version; run the experiment again")
    required = {f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING}  # type: ignore[arg-type]
    missing = sorted(required - values.keys())
    if missing:
        raise ConfigError(f"{inside}{missing[0]} is missing; run the experiment again")
    with as_config_error():
        return kind(**{name: _restored(hints[name], value, f"{inside}{name}") for name, value in values.items()})


def _restored(kind: Any, value: Any, name: str) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return from_json(kind, value, f"{name}.")
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (kind,) = (one for one in inner if one is not type(None))
        return _restored(kind, value, name)
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) == len(value):
            return tuple(_restored(k, v, f"{name}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict and isinstance(value, dict):
        return {key: _restored(inner[1], item, f"{name}.{key}") for key, item in value.items()}
    if kind is Any or (origin is Literal and value in inner):
        return value
    # JSON writes 2.0 as 2.0, but an edited file may have 2; a truth value is no number.
    numeric = (int, float) if kind is float else kind
    plain = isinstance(numeric, (type, tuple)) and origin is None
    if plain and isinstance(value, numeric) and (not isinstance(value, bool) or kind is bool):
        return value
    raise ConfigError(f"{name} is {value!r}, which is not {getattr(kind, '__name__', kind)}")
