"""What all commands do alike: stop when told to, answer what goes wrong in one paragraph, and say how to go on."""

import contextlib
import errno
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import jax

from experiments.cli.flags import ConfigError
from lightman_jax.data.corpora.records import DataError
from lightman_jax.training.numerics import PrecisionError

WRITABLE = "Give folders that can be written by --workdir and --data_cache"
RUN_NEEDED = "Give the workdir of a finished run, such as runs/smic_stand_in-lightman"


class Stopped(BaseException):
    """SIGTERM or SIGINT (Ctrl-C) arrived; no `except Exception` on the way may take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside, the first SIGTERM or SIGINT raises `Stopped` in the main thread; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        for one in before:
            signal.signal(one, signal.SIG_DFL)
        raise Stopped(number)

    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require_device() -> None:
    """Start JAX's devices.

    Raises:
      ConfigError: the platform that was asked for is not there.
    """
    try:
        jax.devices()
    except RuntimeError as error:
        asked = (
            f"JAX_PLATFORMS={os.environ['JAX_PLATFORMS']}" if os.environ.get("JAX_PLATFORMS") else "what is installed"
        )
        raise ConfigError(
            f"JAX finds no device for {asked} ({str(error).splitlines()[0]}). Type `unset JAX_PLATFORMS` to take what there is; a "
            "TPU needs pip install -r requirements-tpu.txt, a GPU pip install 'jax[cuda13]'"
        ) from error


def run_command(module: str, words: Sequence[str], work: Callable[[], int], *, remedy: str = WRITABLE) -> int:
    """Do a command's work, which may be stopped, and answer what goes wrong.

    Args:
      module: of the command, as it is typed after `python -m`.
      words: its arguments.
      work: returns the exit status.
      remedy: what to do about a file or folder that cannot be read or written.

    Returns:
      The work's status; 2 with one paragraph on standard error when its input cannot be used or the machine is too small; 130 for
      SIGINT and 143 for SIGTERM. Where the same command goes on from what is kept, it is the last line.
    """
    same = shlex.join(["python", "-m", module, *words])
    try:
        with stoppable():
            return work()
    except Stopped as stop:
        print(f"stopped by {stop}: what has ended is kept, the same command goes on from there", file=sys.stderr)
        print(same, file=sys.stderr, flush=True)
        return 128 + stop.number
    except (ConfigError, DataError, PrecisionError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
    except MemoryError as error:
        print(f"error: {error or 'out of memory'}. What has ended is kept; the same command goes on", file=sys.stderr)
        print(same, file=sys.stderr)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            print(
                f"error: {error}. What has ended is kept; once there is space the same command goes on", file=sys.stderr
            )
            print(same, file=sys.stderr)
        else:
            print(f"error: {error}. {remedy}", file=sys.stderr)
    return 2
