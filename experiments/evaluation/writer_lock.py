"""One writer of a workdir at a time, also where the file system has no locks."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from experiments.cli.flags import ConfigError
from lightman_jax.files import host_name, is_running

try:
    import fcntl
except ImportError:  # Windows has no file locks of this kind.
    fcntl = None  # type: ignore[assignment]

_WRITER, _WITHOUT_LOCKS = ".writer", ".writer.process"


@contextlib.contextmanager
def only_writer(workdir: Path) -> Iterator[None]:
    """Lock an existing workdir; the operating system releases the lock when the process ends, however it ends.

    On a file system without locks, such as some network file systems, a file with the name of the computer and the process id takes
    its place: it is removed at the end, and replaced if its process has ended.

    Raises:
      ConfigError: another process has the lock; the message has its process id and start time.
      OSError: the folder cannot be written.
    """
    with (workdir / _WRITER).open("a+", encoding="utf-8") as file:
        try:
            if fcntl is None:
                raise OSError("this system has no file locks")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            substitute: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        except BlockingIOError as error:
            file.seek(0)
            raise _refusal(workdir, file.read().strip() or "another process") from error
        except OSError as error:
            substitute = _lock_file(workdir, error)
        with substitute:
            file.truncate(0)
            file.write(f"process {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
            file.flush()
            yield


@contextlib.contextmanager
def _lock_file(workdir: Path, reason: OSError) -> Iterator[None]:
    """A file that only one process can create."""
    path = workdir / _WITHOUT_LOCKS
    _remove_if_ended(workdir, path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(f"{host_name()} {os.getpid()}\n")
    except FileExistsError as error:
        raise _refusal(workdir, "another process") from error
    warnings.warn(
        f"the file system of {workdir} has no locks ({reason.strerror or reason}): the file {path} keeps other processes out, and "
        "is removed at the end",
        stacklevel=5,
    )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _remove_if_ended(workdir: Path, path: Path) -> None:
    """Remove the file of a process that has ended; refuse the workdir if it runs, or runs on another computer."""
    try:
        where, _, process = path.read_text(encoding="utf-8").strip().rpartition(" ")
    except FileNotFoundError:
        return
    if where == host_name() and process.isdecimal() and not is_running(int(process)):
        path.unlink(missing_ok=True)
        return
    raise _refusal(
        workdir,
        f"process {process} of {where or 'an unknown computer'}",
        f"; if that process has ended, remove {path} and repeat the command",
    )


def _refusal(workdir: Path, writer: str, more: str = "") -> ConfigError:
    return ConfigError(f"{workdir} is being written by {writer}; wait for it, or choose another --workdir{more}")
