"""Command lines: flags made from dataclasses or written by hand, help that fits a screen, and answers to what is mistyped."""

import argparse
import contextlib
import dataclasses
import difflib
import inspect
import re
import shutil
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NoReturn

Groups = Sequence[tuple[str, type]]
"""Titles, and the dataclasses whose fields are the flags below them."""

_WIDEST, _NARROWEST, _INDENT = 110, 60, 19
_FLAG_OF_FIELD = {"method_name": "method", "apex_policy": "apex"}
_EVERYTHING = "all"


class ConfigError(ValueError):
    """A flag or setting that cannot be used; the message says what is allowed."""


@contextlib.contextmanager
def as_config_error() -> Iterator[None]:
    """Inside, a `ValueError` of a setting becomes a `ConfigError`."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def refuse_unknown(name: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a name that is none of those there are.

    Raises:
      ConfigError: with all of them, and the one that was probably meant.
    """
    if value not in allowed:
        raise ConfigError(f"{name} {value!r} is unknown; choose one of {', '.join(allowed)}{_nearest(value, allowed)}")


class CommandParser(argparse.ArgumentParser):
    """A parser of one command, which answers what it does not understand by a `ConfigError` with the nearest that it does.

    Args:
      command: as typed after `python -m experiments.`.
      about: the help's first paragraphs, usually the module's text.
    """

    def __init__(self, command: str, about: str | None) -> None:
        super().__init__(
            prog=f"python -m experiments.{command}",
            description=about_text(about or ""),
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, max_help_position=28, width=_width()
            ),
            allow_abbrev=False,
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """The values of the flags; errors as the class says."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].split("=")[0]
            names = [option for action in self._actions for option in action.option_strings]
            if not flag.startswith("-"):
                self.error(f"unknown word {flag}: a flag begins with --, and its value follows after =")
            self.error(f"unknown flag {flag}{_nearest(flag, names)}")
        return known

    def error(self, message: str) -> NoReturn:
        """Raise a `ConfigError`, in place of leaving the program."""
        chosen = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        near = _nearest(chosen[1], re.findall(r"[\w.-]+", chosen[2])) if chosen else ""
        raise ConfigError(f"{message}{near}. {self.prog} --help lists all flags")


def about_text(text: str) -> str:
    """A module's text as the help shows it: its paragraphs, each as wide as the screen."""
    return "\n\n".join(
        textwrap.fill(" ".join(part.split()), _width(), break_on_hyphens=False) for part in text.split("\n\n")
    )


def parse_flags(argv: Sequence[str], command: str, about: str, groups: Groups, main: Collection[str]) -> dict[str, Any]:
    """Values of the flags that dataclasses stand for, by the names of their fields.

    A field's name is its flag, its type parses the value, its line under "Attributes:" is its help. Field names are unique over all
    groups, so every flag is one plain word.

    Args:
      argv: command-line words.
      command: as typed after `python -m experiments.`.
      about: one line.
      groups: what there is to set.
      main: fields that the first screen of the help explains.

    Raises:
      ConfigError: an unknown flag, or a value of the wrong type.
      SystemExit: with status 0, after printing the help that was asked for.
    """
    parser = CommandParser(command, about)
    for _, kind in groups:
        for field in plain_fields(kind):
            name = _FLAG_OF_FIELD.get(field.name, field.name)
            options: dict[str, Any] = {"dest": field.name, "default": field.default}
            if field.type is bool:
                options |= {"type": _truth, "nargs": "?", "const": True}
            else:
                # Literal types and `str | None` arrive as text; the dataclass itself refuses what it does not know.
                options |= {"type": field.type if field.type in (int, float) else str}
            parser.add_argument(f"--{name}", **options)
    asked = next((word for word in argv if word == "-h" or word.split("=")[0] == "--help"), None)
    if asked is not None:
        print(_help(parser.prog, about, groups, main, asked.partition("=")[2]))
        raise SystemExit(0)
    return vars(parser.parse_args(list(argv)))


def _width() -> int:
    """Columns of the terminal, within reason."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 0)).columns))


def plain_fields(kind: type) -> list[dataclasses.Field]:
    """The fields that are flags; others are groups of their own."""
    return [field for field in dataclasses.fields(kind) if not dataclasses.is_dataclass(field.type)]


def own_values(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Those of the values that belong to a dataclass."""
    return {field.name: values[field.name] for field in plain_fields(kind)}


def _help(prog: str, about: str, groups: Groups, main: Collection[str], asked: str) -> str:
    """The first screen, which explains the main flags and names all; or one group, or all groups, in full."""
    titles = [title.replace(" ", "_") for title, _ in groups]
    if asked:
        refuse_unknown("help", asked, (*titles, _EVERYTHING))
        chosen = [(t, kind) for t, (_, kind) in zip(titles, groups, strict=True) if asked in (t, _EVERYTHING)]
        return "\n".join(line for title, kind in chosen for line in (f"{title}:", *_explained(kind)))
    lines = [f"{prog} [--dataset=NAME] [--data_dir=FOLDER] [--FLAG=VALUE ...]", about, ""]
    for _, kind in groups:
        lines += _explained(kind, main)
    lines += ["", f"All flags with their defaults; --help=GROUP explains one group, --help={_EVERYTHING} everything:"]
    for title, (_, kind) in zip(titles, groups, strict=True):
        flags = " ".join(f"--{_FLAG_OF_FIELD.get(f.name, f.name)}={_default(f)}" for f in plain_fields(kind))
        indent = " " * _INDENT
        lines += textwrap.wrap(
            flags, _width(), initial_indent=f"{title:<{_INDENT}}", subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join(lines)


def _explained(kind: type, chosen: Collection[str] | None = None) -> list[str]:
    lines = []
    texts = _attribute_texts(kind)
    for field in plain_fields(kind):
        if chosen is None or field.name in chosen:
            default = "" if field.default in (None, "") else f" [{_default(field)}]"
            flag = f"  --{_FLAG_OF_FIELD.get(field.name, field.name)}"
            head = f"{flag:<{_INDENT}}" if len(flag) < _INDENT else f"{flag}  "
            text = texts[field.name] + default
            lines += textwrap.wrap(
                text, _width(), initial_indent=head, subsequent_indent=" " * _INDENT, break_on_hyphens=False
            )
    return lines


def _default(field: dataclasses.Field) -> str:
    return "" if field.default is None else str(field.default).lower() if field.type is bool else str(field.default)


def _truth(text: str) -> bool:
    if text.lower() in {"true", "1", "yes"}:
        return True
    if text.lower() in {"false", "0", "no"}:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def _attribute_texts(kind: type) -> dict[str, str]:
    section = inspect.getdoc(kind).split("Attributes:")[1]  # type: ignore[union-attr]
    entries = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section, flags=re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).replace("`", "") for name, text in entries}


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f". Did you mean {close[0]}?" if close else ""
