"""One writer a workdir: a second run is refused while the first is at work, and never by what a killed one has left."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.cli.flags import ConfigError

try:
    import fcntl
except ImportError:  # Not on Windows; two runs in one workdir are then the user's to avoid.
    fcntl = None  # type: ignore[assignment]

_NAME = ".writer"


@contextlib.contextmanager
def only_writer(workdir: Path) -> Iterator[None]:
    """Hold a workdir that exists; the system lets go of it when the process ends, however it ends.

    Raises:
      ConfigError: another process holds it; says which, and since when.
      OSError: the folder cannot be written.
    """
    with (workdir / _NAME).open("a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                writer = file.read().strip() or "another process"
                raise ConfigError(
                    f"{workdir} is being written by {writer}; wait for it, or choose another --workdir"
                ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield
