"""Read a run's settings back from its `config.json`."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError, as_config_error
from experiments.evaluation.inventory import check_version


def restore_config(settings: dict[str, Any]) -> RunConfig:
    """The settings that a run has written to its `config.json`; those that it did not write are the defaults.

    Raises:
      ConfigError: a setting that this version does not know, or cannot take.
    """
    with as_config_error():
        return _restored(RunConfig, settings, "")


def read_run(workdir: Path) -> tuple[RunConfig, dict[str, Any]]:
    """The settings of a run, and the whole content of its `config.json`.

    Raises:
      ValueError: that file is not the settings of a run of this version.
      OSError: it cannot be read.
    """
    path = workdir / "config.json"
    content = json.loads(path.read_text())
    check_version(content, path)
    if not {"settings", "seeds", "data"} <= content.keys():
        raise ValueError(f"{path} is not the settings of a run")
    return restore_config(content["settings"]), content


def _restored(kind: type, values: Any, inside: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{inside.rstrip('.') or 'the settings'} must be a group of settings, found {values!r}")
    types = get_type_hints(kind)
    unknown = sorted(values.keys() - types.keys())
    if unknown:
        raise ConfigError(f"the setting {inside}{unknown[0]} is not one of this version; run that experiment anew")
    return kind(**{name: _restored_value(types[name], value, f"{inside}{name}") for name, value in values.items()})


def _restored_value(kind: Any, value: Any, name: str) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _restored(kind, value, f"{name}.")
    choices = get_args(kind)
    if get_origin(kind) is Literal:
        fits = value in choices
    else:
        plain = choices or (kind,)
        # JSON writes 2.0 as 2.0, but a person who edits the file writes 2; true is no number.
        allowed = (*plain, int) if float in plain else plain
        fits = isinstance(value, allowed) and (not isinstance(value, bool) or bool in plain)
    if not fits:
        raise ConfigError(f"the setting {name} is {value!r}, which is not {getattr(kind, '__name__', kind)}")
    return value
