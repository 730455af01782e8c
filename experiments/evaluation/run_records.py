"""What a run writes down of itself before it begins: its settings, whose folder it is, and the machine."""

import dataclasses
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError
from experiments.evaluation.inventory import FORMAT_VERSION
from lightman_jax.data.preparation.load import Prepared
from lightman_jax.files import write_whole

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "chex",
    "numpy",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "opencv-python",
)


def claim_workdir(workdir: Path, config: RunConfig, prepared: Prepared, seeds: list[int]) -> None:
    """Write `config.json`, unless another run's results are there.

    Raises:
      ConfigError: they are, or the file is damaged.
    """
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    # Where a run is kept, what stands beside it, and who helps, does not make it another run.
    for name in ("workdir", "baselines", "dry_run", "tensorboard", "coordinator", "processes", "process_id"):
        settings.pop(name)
    settings["data"].pop("shards")
    content = {
        "format_version": FORMAT_VERSION,
        "data": {
            name: prepared.manifest[name] for name in ("dataset", "stand_in", "origin", "shards", "clips", "faces")
        },
        "seeds": seeds,
        "settings": settings,
        "trained": json.loads(json.dumps(dataclasses.asdict(config.trained))),
    }
    path = workdir / "config.json"
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError as error:
            raise ConfigError(
                f"{path} is damaged ({error}), so that nobody knows whose results {workdir} holds; if they are this run's, remove "
                "that file and repeat the command, else choose another --workdir"
            ) from error
        if before != content:
            raise ConfigError(
                f"{path} is of a run with other settings or data ({_difference(before, content)}); choose another --workdir, or "
                "remove that folder"
            )
        return
    write_json(path, content)


def _difference(before: Any, now: Any, name: str = "") -> str:
    """The first thing that differs between two JSON objects."""
    if isinstance(before, dict) and isinstance(now, dict):
        absent = "nothing"
        key = min(key for key in before.keys() | now.keys() if before.get(key, absent) != now.get(key, absent))
        return _difference(before.get(key, absent), now.get(key, absent), f"{name}.{key}" if name else key)
    short = [text if len(text) < 60 else f"{text[:57]}..." for text in (json.dumps(before), json.dumps(now))]
    return f"{name} is {short[0]} there and {short[1]} here"


def write_environment(workdir: Path, prepared: Prepared) -> None:
    """Write `environment.json`: the command, the machine, its devices and the packages."""
    environment = {
        "data": prepared.manifest["dataset"],
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "packages": {name: metadata.version(name) for name in _PACKAGES if _installed(name)},
    }
    write_json(workdir / "environment.json", environment)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write one of a run's JSON files; errors as `write_whole`."""
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
