"""What a run writes about itself before it starts: `config.json` (settings and data) and `environment.json` (the machine)."""

import dataclasses
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from experiments.cli.config import RunConfig, data_folders
from experiments.cli.flags import ConfigError
from experiments.evaluation.numeric_settings import difference, numeric_settings
from experiments.evaluation.records import as_json, from_json, read_json, write_json
from experiments.evaluation.workdir import changed_file, renew_inventory
from lightman_jax.data.preparation.load import Prepared
from lightman_jax.data.preparation.parallel import cpu_cores
from lightman_jax.files import user_path
from lightman_jax.training.config import TrainConfig

_PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "chex", "numpy"),
    *("orbax-checkpoint", "tensorflow-datasets", "opencv-python"),
)
# The location of a run, its baselines and the processes that share the work do not make it another run.
_LOCATIONS = ("data_dir", "macro_dir", "geometry", "corrections", "subject_aliases", "init")
_NOT_STORED = (
    *("workdir", "baselines", "image_memory", "dry_run", "tensorboard"),
    *("coordinator", "processes", "process_id"),
)


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The content of `config.json`: `data` from the manifest, seeds, settings as given, and training settings as used."""

    data: dict[str, Any]
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    trained: dict[str, Any]


def read_run(workdir: Path) -> tuple[RunConfig, RunRecord]:
    """Settings of a run, and the whole of its `config.json`; settings that are not stored have their defaults.

    Raises:
      ValueError: the file is damaged, holds a setting that is unknown or ill-typed, or was written by another version.
      OSError: the file cannot be read.
    """
    path = workdir / "config.json"
    content = read_json(path)
    try:
        record = from_json(RunRecord, content)
    except ConfigError as error:
        raise ValueError(f"{path} is not the settings of a run: {error}") from error
    return from_json(RunConfig, record.settings), record


def claim_workdir(workdir: Path, config: RunConfig, trained: TrainConfig, prepared: Prepared, seeds: list[int]) -> None:
    """Write `config.json`, unless the folder holds the results of another run; data that have only moved are the same data.

    Args:
      workdir: folder of the run.
      config: settings as given.
      trained: settings of the method's training, with what follows from the data, such as the number of views.
      prepared: the clips.
      seeds: of the run.

    Raises:
      ConfigError: it does, or the file is damaged.
    """
    settings = as_json(config)
    for name in _NOT_STORED:
        settings.pop(name)
    settings["data"].pop("data_cache")
    for name in _LOCATIONS:
        part = settings["train" if name == "init" else "data"]
        if part[name]:
            several = data_folders(part[name]) if name in ("data_dir", "macro_dir") else [user_path(part[name])]
            part[name] = ",".join(str(place.absolute()) for place in several)
    manifest = prepared.manifest
    data = {name: getattr(manifest, name) for name in ("dataset", "stand_in", "origin", "clips", "faces")}
    data["digest"] = prepared.digest
    record = RunRecord(data, tuple(seeds), settings, as_json(trained))
    path = workdir / "config.json"
    if not path.exists():
        write_json(path, as_json(record))
        return
    try:
        stored = read_json(path)
    except ValueError as error:
        raise ConfigError(
            f"{path} cannot be read ({error}), so it is unknown whose results {workdir} holds; if they are this run's, remove that "
            "file and repeat the command, else choose another --workdir"
        ) from error
    before, now = _without_locations(stored), _without_locations(as_json(record))
    if before != now:
        raise ConfigError(
            f"{path} belongs to a run with other settings or data ({_difference(before, now)}); choose another "
            "--workdir, or remove that folder"
        )
    if stored != as_json(record):
        _write_new_places(path, record)


def _write_new_places(path: Path, record: RunRecord) -> None:
    """Write `config.json` again after its data have moved; a list of undamaged files of the run stays valid."""
    try:
        valid = changed_file(path.parent) is None
    except ValueError:
        valid = False
    write_json(path, as_json(record))
    if valid:
        renew_inventory(path.parent)


def _absolute(path: str) -> str:
    return str(user_path(path).absolute())


def _without_locations(value: Any) -> Any:
    """The content of `config.json` without the places of files, which `data.digest` and `init_digest` stand for."""
    if isinstance(value, dict):
        return {name: _without_locations(part) for name, part in value.items() if name not in _LOCATIONS}
    return value


def _difference(stored: Any, new: Any, name: str = "") -> str:
    """The first difference between two JSON values, in words."""
    if isinstance(stored, dict) and isinstance(new, dict):
        absent = "nothing"
        key = min(key for key in stored.keys() | new.keys() if stored.get(key, absent) != new.get(key, absent))
        return _difference(stored.get(key, absent), new.get(key, absent), f"{name}.{key}" if name else key)
    short = [text if len(text) < 60 else f"{text[:57]}..." for text in (repr(stored), repr(new))]
    return f"{name} is {short[0]} there and {short[1]} here"


def write_environment(workdir: Path, config: RunConfig, dataset: str, prepared: Prepared) -> None:
    """Write `environment.json`: the data, where their images are, the command, the cache folder and `describe_machine()`."""
    images = "read from the prepared files as they are drawn" if prepared.is_streamed else "in memory"
    run = {
        "data": dataset,
        "images": f"{prepared.image_bytes / 1e6:.1f} MB, {images}",
        "command": " ".join(sys.argv),
        "data_cache": _absolute(config.data.data_cache),
    }
    write_json(workdir / "environment.json", run | describe_machine())


def describe_machine() -> dict[str, Any]:
    """Platform, cores, devices, settings that change numbers, and package versions."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": cpu_cores(),
        "backend": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "numeric_settings": numeric_settings(),
        "packages": {name: metadata.version(name) for name in _PACKAGES if _is_installed(name)},
    }


def stored_data_cache(workdir: Path) -> str | None:
    """The cache folder that a run has used, from its `environment.json`; None if there is no such record."""
    found = _stored_environment(workdir).get("data_cache")
    return found if isinstance(found, str) else None


def settings_difference(workdir: Path) -> str:
    """How the settings that change numbers differ now from those of a run, in words; empty if they do not, or are unknown."""
    stored = _stored_environment(workdir).get("numeric_settings")
    return difference(stored, numeric_settings()) if isinstance(stored, dict) else ""


def _stored_environment(workdir: Path) -> dict[str, Any]:
    try:
        return read_json(workdir / "environment.json")
    except (OSError, ValueError):
        return {}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
