"""What a run has left in its workdir, file by file, so that a file that was damaged or touched later is found and named."""

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lightman_jax.files import read_sealed_json, write_sealed_json

FORMAT_VERSION = 1
"""Of a run's own JSON files: `config.json`, `metrics.json`, `selection.json`, `results.json`."""

_LIST = "results.json"
_EVERY = ("*",)


def check_version(content: Any, path: Path) -> None:
    """Refuse what another version of this project has written.

    Raises:
      ValueError: it is no object, or has another format version.
    """
    found = content.get("format_version") if isinstance(content, dict) else None
    if found != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {found}, this release reads {FORMAT_VERSION}; run that experiment anew"
        )


def keep_inventory(workdir: Path, made_from: str) -> None:
    """List every file of a finished run beside a digest of what they were made from; errors as `write_whole`."""
    content = {"format_version": FORMAT_VERSION, "made_from": made_from, "files": _digests(workdir, _EVERY)}
    write_sealed_json(workdir / _LIST, content)


def renew_inventory(workdir: Path) -> None:
    """List the files again after some of them were made anew from the others; nothing if there is no list."""
    if (workdir / _LIST).exists():
        keep_inventory(workdir, read_sealed_json(workdir / _LIST)["made_from"])


def forget_inventory(workdir: Path) -> None:
    """Take the list away, before a file of it is written anew."""
    (workdir / _LIST).unlink(missing_ok=True)


def listed_from(workdir: Path) -> str | None:
    """The digest of what the listed files were made from; None if there is no list.

    Raises:
      ValueError: the list is damaged.
    """
    return read_sealed_json(workdir / _LIST)["made_from"] if (workdir / _LIST).exists() else None


def changed_file(workdir: Path, patterns: Sequence[str] = _EVERY) -> str | None:
    """The first file that is missing, new, or not as it was listed; None if all are, or if there is no list.

    Args:
      workdir: of a run.
      patterns: of the files that matter, such as `baselines/*.csv`.

    Raises:
      ValueError: the list is damaged.
      OSError: a file cannot be read.
    """
    if not (workdir / _LIST).exists():
        return None
    listed = read_sealed_json(workdir / _LIST)["files"]
    held = {name: digest for name, digest in listed.items() if _matches(name, patterns)}
    found = _digests(workdir, patterns)
    return min((name for name in held.keys() | found.keys() if held.get(name) != found.get(name)), default=None)


def refuse_changed(workdir: Path, *patterns: str) -> None:
    """Go on with a run's files only if they are as it has left them; without a list they are taken as they are.

    Raises:
      ValueError: one is not, or the list is damaged; names it, and what to do.
      OSError: a file cannot be read.
    """
    remedy = "repeat the run's command, which writes it anew"
    try:
        changed = changed_file(workdir, patterns)
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from error
    if changed is not None:
        raise ValueError(f"{workdir / changed} is missing or not as the run has left it; {remedy}")


def _digests(workdir: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Of every file that matters, but the list itself and hidden ones."""
    names = {path: path.relative_to(workdir).as_posix() for path in workdir.rglob("*") if path.is_file()}
    return {
        name: _digest(path)
        for path, name in sorted(names.items())
        if not path.name.startswith(".") and name != _LIST and _matches(name, patterns)
    }


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
