"""Atomic writes, checksummed files, and errors for a full disk."""

import contextlib
import csv
import errno
import glob
import hashlib
import io
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

_DIGEST_BYTES = hashlib.sha256().digest_size
_SUFFIX = ".part"
_DISK_FULL = os.strerror(errno.ENOSPC)
# Of glob patterns, and of a path that is not UTF-8; a backslash is a plain letter where it does not separate folders.
_PATTERN = re.compile(r"[*?\[\]\ud800-\udfff]" if os.sep == "\\" else r"[*?\[\]\\\ud800-\udfff]")


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a temporary file in the same folder, flush it to the disk and rename it to `path`.

    A process killed at any moment leaves either the old file or the new one, never a part of it.

    Args:
      path: file to write, in an existing folder.
      content: bytes, or text to be encoded as UTF-8; bytes of a file name that are no text are written as escapes.

    Raises:
      OSError: the file cannot be written; on a full disk the message gives the bytes needed and free. The temporary file is
        removed.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    temporary = temporary_path(path)
    with reporting_disk_full(path, len(data)):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write rows as CSV; errors as in `write_atomic`."""
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows(rows)
    write_atomic(path, table.getvalue())


def append_line(file: TextIO, line: str) -> None:
    """Write a line to an open log and flush it; errors as in `write_atomic`."""
    with reporting_disk_full(Path(file.name), len(line) + 1):
        file.write(line + "\n")
        file.flush()


def disk_full_error(path: Path, needed: int) -> OSError:
    """The error for a full disk, with the path, the bytes needed and the bytes free."""
    text = f"the disk is full: {needed:,} bytes are needed, {free_bytes(path):,} are free"
    return OSError(errno.ENOSPC, text, str(path))


@contextlib.contextmanager
def reporting_disk_full(path: Path, needed: int) -> Iterator[None]:
    """Context manager that replaces any error caused by a full disk, also of other libraries, by `disk_full_error`."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC or _DISK_FULL in str(error):
            raise disk_full_error(path, needed) from error
        raise


def require_space(path: Path, needed: int) -> None:
    """Check the free disk space before a long operation.

    Raises:
      OSError: fewer than `needed` bytes are free on the disk of `path`.
    """
    if free_bytes(path) < needed:
        raise disk_full_error(path, needed)


def free_bytes(path: Path) -> int:
    """Free bytes on the disk of a path, which may not exist yet."""
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def user_path(text: str | Path) -> Path:
    """A path with `~` replaced by the home folder.

    Raises:
      OSError: the user has no home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"{text}: the home folder is unknown, and HOME is not set") from error


def temporary_path(path: Path) -> Path:
    """Temporary path for this process to write before it renames the result to `path`; a file or folder there is removed."""
    temporary = path.with_name(f".{path.name}.{host_name()}-{os.getpid()}{_SUFFIX}")
    _remove(temporary)
    return temporary


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Context with another path of a folder, for libraries that read a path as a pattern or as UTF-8 text.

    It is a link in the folder for temporary files if the folder's own path has characters that such libraries change.

    Raises:
      OSError: a link is needed and cannot be made.
    """
    if not _PATTERN.search(str(folder.absolute())):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="lightman_jax-") as place:
        link = Path(place) / "folder"
        try:
            link.symlink_to(folder.absolute(), target_is_directory=True)
        except OSError as error:
            raise OSError(f"{folder} has a character of []*?\\ in its path; choose a path without ({error})") from error
        yield link


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove temporary files and folders that killed processes of this computer left in a folder.

    Args:
      folder: may not exist.
      name: the final name; `*` stands for any.
    """
    named = name if name == "*" else glob.escape(name)
    for leftover in folder.glob(f".{named}.{host_name()}-*{_SUFFIX}"):
        process = leftover.name.removesuffix(_SUFFIX).rsplit("-", 1)[-1]
        if process.isdecimal() and not is_running(int(process)):
            _remove(leftover)


def host_name() -> str:
    """Name of this computer, without characters that are not allowed in file names."""
    return re.sub(r"[^0-9A-Za-z_]", "_", platform.node())


def is_running(process: int) -> bool:
    """Whether a process of this computer runs; true if that is unknown."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_checksummed(path: Path, content: bytes) -> None:
    """Write the SHA-256 digest of the content (32 bytes) followed by the content; errors as in `write_atomic`."""
    write_atomic(path, hashlib.sha256(content).digest() + content)


def read_checksummed(path: Path) -> bytes | None:
    """Content written by `write_checksummed`; None if the file is missing or does not match its digest.

    Raises:
      OSError: the file exists but cannot be read.
    """
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def write_checksummed_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with an added key `digest`, the SHA-256 of the text without that key; errors as in `write_atomic`."""
    write_atomic(path, _json_text(content | {"digest": _json_digest(content)}))


def read_checksummed_json(path: Path) -> dict[str, Any]:
    """Content written by `write_checksummed_json`, without the digest.

    Raises:
      ValueError: the file is missing, is not JSON, or does not match its digest.
    """
    try:
        text = path.read_text()
        content = json.loads(text)
        digest = content.pop("digest")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is missing or damaged ({error})") from error
    if digest != _json_digest(content) or text != _json_text(content | {"digest": digest}):
        raise ValueError(f"{path} does not match its checksum")
    return content


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json_digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(_json_text(content).encode()).hexdigest()


def _json_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
