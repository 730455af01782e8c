"""Text on the terminal: names letter by letter, in any encoding, and also into an output that is closed."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_PIPED_WIDTH = 120
# Control characters but the line feed, line and paragraph separators, marks that reverse the direction, and surrogates.
_HIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""Text with escapes for control characters, and for characters that an encoding lacks.

    >>> printable("a\x1b[31m", "ascii"), printable("± [b]", "ascii")
    ('a\\x1b[31m', '\\xb1 [b]')
    """
    shown = _HIDDEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


class PlainConsole(Console):
    """A rich console that prints texts letter by letter: brackets are no markup, `:name:` is no emoji, see `printable`.

    Lines are not wrapped if the output is not a terminal, so that a path stays in one piece.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts or renderables; arguments as in rich."""
        piped = not self.is_terminal and all(isinstance(one, str) for one in objects)
        super().print(*objects, **{"soft_wrap": piped, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as rich prints it."""
        return super().render_str(printable(text, self.encoding), **options)

    def on_broken_pipe(self) -> None:
        """Print no more, and go on."""
        self.quiet = True


def make_console(width: int = _PIPED_WIDTH) -> PlainConsole:
    """A console as wide as the terminal, or of a fixed width when the output is piped."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=width)


def text_table(*heads: str, **options: Any) -> Table:
    """A table whose cells are folded, never cut, where they are too long for their column."""
    return Table(*(Column(head, overflow="fold") for head in heads), **options)


class _LossyStream(io.TextIOWrapper):
    """A stream that drops what its file does not take, because its reader is gone or the disk is full."""

    def write(self, text: str) -> int:
        with self._dropping():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            super().flush()

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self.fileno())


@contextlib.contextmanager
def lossy_output() -> Iterator[None]:
    """Context in which printing never fails: characters that the encoding lacks are escaped, and a closed output is dropped."""
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                own: io.TextIOWrapper = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            elif isinstance(stream, io.TextIOWrapper):
                own = _LossyStream(
                    stream.buffer,
                    stream.encoding,
                    errors="backslashreplace",
                    line_buffering=stream.line_buffering,
                    write_through=stream.write_through,
                )
                stack.callback(own.detach)
            else:
                continue
            stack.callback(setattr, sys, name, stream)
            setattr(sys, name, own)
        yield
