"""What all commands share: clean interruption, errors as one paragraph, and the command to continue with."""

import contextlib
import errno
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from experiments.cli.flags import ConfigError
from experiments.cli.terminal import lossy_output, printable
from lightman_jax.data.records import DataError
from lightman_jax.training.numerics import PrecisionError

WRITABLE = "Choose writable folders by --workdir and --data_cache"
RUN_NEEDED = "Give the workdir of a finished run, such as runs/smic_stand_in-lightman"


class Stopped(BaseException):
    """SIGTERM or SIGINT (Ctrl-C) arrived. Not an `Exception`, so that no handler of errors catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Context in which the first SIGTERM or SIGINT raises `Stopped` in the main thread, and a second one ends the process."""
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


def run_command(
    module: str, argv: Sequence[str] | None, work: Callable[[Sequence[str]], int], *, remedy: str = WRITABLE
) -> int:
    """Run a command, and turn interruptions and errors into messages and an exit status.

    Args:
      module: name of the command, as typed after `python -m`.
      argv: its arguments; None takes those of the process.
      work: the command; takes the arguments and returns its exit status.
      remedy: advice for a file or folder that cannot be read or written.

    Returns:
      The status of `work`; 2, with one paragraph on standard error, if the input cannot be used or a resource is missing; 130 after
      SIGINT and 143 after SIGTERM. If repeating the command continues the work, the command is printed as the last line.
    """
    with lossy_output(), _warnings_in_one_line():
        return _run_command(module, sys.argv[1:] if argv is None else list(argv), work, remedy)


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Context in which a warning is printed without the line of source code that it comes from."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(str(message))}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _run_command(module: str, words: Sequence[str], work: Callable[[Sequence[str]], int], remedy: str) -> int:
    command = shlex.join(["python", "-m", module, *words])
    resume = "Finished parts are stored"
    try:
        with stoppable():
            return work(words)
    except Stopped as stop:
        _report(f"stopped by {stop}. {resume}; the same command continues:\n{command}")
        return 128 + stop.number
    except (ConfigError, DataError, PrecisionError, FloatingPointError) as error:
        _report(f"error: {error}")
    except MemoryError as error:
        _report(f"error: {error or 'out of memory'}. {resume}; the same command continues:\n{command}")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            _report(f"error: {error}. {resume}; once there is space, the same command continues:\n{command}")
        else:
            _report(f"error: {error}. {remedy}")
    return 2


def _report(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
