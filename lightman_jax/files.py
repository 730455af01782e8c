"""Files that are whole or absent, and files that notice when one of their bits has changed."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

_DIGEST_BYTES = hashlib.sha256().digest_size
_PART = ".part"
_FULL = os.strerror(errno.ENOSPC)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file beside its place, onto the disk, and rename it: a process killed at any moment leaves the old one or the new.

    Args:
      path: of the file; its folder is there.
      content: text is written as UTF-8.

    Raises:
      OSError: it cannot be written; on a full disk with the bytes needed and free. Nothing is left beside its place.
    """
    data = content.encode() if isinstance(content, str) else content
    scratch = scratch_for(path)
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise no_space(path, len(data)) from error
        raise


def append_line(file: TextIO, line: str) -> None:
    """Write a line to an open log, at once; errors as `write_whole`."""
    try:
        file.write(line + "\n")
        file.flush()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise no_space(Path(file.name), len(line) + 1) from error
        raise


def no_space(path: Path, needed: int) -> OSError:
    """The error of a full disk: what could not be written, the bytes it needs, and the bytes there are."""
    text = f"the disk is full: {needed:,} bytes are needed, {free_bytes(path):,} are free"
    return OSError(errno.ENOSPC, text, str(path))


@contextlib.contextmanager
def telling_space(path: Path, needed: int) -> Iterator[None]:
    """Inside, whatever error another library makes of a full disk becomes that of `no_space`.

    Args:
      path: what is written.
      needed: its bytes, about.
    """
    try:
        yield
    except Exception as error:
        if _FULL in str(error):
            raise no_space(path, needed) from error
        raise


def require_space(path: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
      OSError: fewer than `needed` bytes are free where `path` lies, or will lie.
    """
    if free_bytes(path) < needed:
        raise no_space(path, needed)


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds a path, which need not be there yet."""
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


def scratch_for(path: Path) -> Path:
    """Where this process writes a file or folder before it takes its place, beside it; what is there already is removed."""
    scratch = path.with_name(f".{path.name}.{_host()}-{os.getpid()}{_PART}")
    _remove(scratch)
    return scratch


def remove_parts(folder: Path, name: str = "*") -> None:
    """Remove what killed processes of this machine have left half-written in a folder.

    Args:
      folder: may be missing.
      name: of the file or folder that was being written; any by default.
    """
    for part in folder.glob(f".{name}.{_host()}-*{_PART}"):
        process = part.name.removesuffix(_PART).rsplit("-", 1)[-1]
        if process.isdecimal() and not _runs(int(process)):
            _remove(part)


def _host() -> str:
    return re.sub(r"[^0-9A-Za-z_]", "_", platform.node())


def _runs(process: int) -> bool:
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


def write_sealed(path: Path, content: bytes) -> None:
    """Write a whole file whose first 32 bytes are the SHA-256 digest of the rest; errors as `write_whole`."""
    write_whole(path, hashlib.sha256(content).digest() + content)


def read_sealed(path: Path) -> bytes | None:
    """What `write_sealed` wrote, or None if there is no such file or it is not as it was written.

    Raises:
      OSError: it is there and cannot be read.
    """
    try:
        held = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = held[:_DIGEST_BYTES], held[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def write_sealed_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON with one more key, `digest`: the SHA-256 of the text without it; errors as `write_whole`."""
    write_whole(path, _rendered(content | {"digest": _json_digest(content)}))


def read_sealed_json(path: Path) -> dict[str, Any]:
    """What `write_sealed_json` wrote, without the digest.

    Raises:
      ValueError: the file is missing, or one of its bytes is not as it was written; names it.
    """
    try:
        text = path.read_text()
        content = json.loads(text)
        digest = content.pop("digest")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is missing or damaged ({error})") from error
    if digest != _json_digest(content) or text != _rendered(content | {"digest": digest}):
        raise ValueError(f"{path} is not as it was written")
    return content


def _json_digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(_rendered(content).encode()).hexdigest()


def _rendered(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
