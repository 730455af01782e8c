"""Stop when told to: what has ended is kept, and the last line says how to go on."""

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType


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


def run_stoppable(module: str, words: Sequence[str], work: Callable[[], int]) -> int:
    """Do a command's work; if it is stopped, say the command that goes on, and return 130 for SIGINT or 143 for SIGTERM."""
    try:
        with stoppable():
            return work()
    except Stopped as stop:
        print(f"stopped by {stop}: what has ended is kept, the same command goes on from there", file=sys.stderr)
        print(shlex.join(["python", "-m", module, *words]), file=sys.stderr, flush=True)
        return 128 + stop.number
