"""Command lines: flags from dataclasses, help of one screen, and corrections for unknown or renamed flags."""

import argparse
import contextlib
import dataclasses
import difflib
import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from experiments.cli.terminal import printable

Groups = Sequence[tuple[str, type]]
"""Group titles, each with the dataclass whose fields are the flags of the group."""

_WIDEST, _NARROWEST, _INDENT = 110, 60, 19
_FLAG_OF_FIELD = {"method_name": "method", "apex_policy": "apex"}
_EVERYTHING = "all"

RENAMED_FLAGS = {
    "inner_rate": "inner_lr",
    "outer_rate": "learning_rate",
    "learnt_rate": "learned_lr",
    "members": "ensemble_size",
    "tasks": "meta_batch_size",
    "repairs": "corrections",
    "shards": "data_cache",
    "rate": "fps",
    "least_pixels": "min_pixels",
}
"""Former spellings of flags; accepted for one more version, with a note."""

RENAMED_VALUES = {
    ("protocol", "cross_dataset"): "leave_one_dataset_out",
    ("protocol", "personal"): "subject_calibration",
    ("baselines", "usual"): "default",
    ("baselines", "relatives"): "meta",
    ("macro", "facs"): "simulated_au",
    ("dataset", "facs"): "simulated_au",
}
"""Former spellings of values, by flag; accepted for one more version, with a note."""


class ConfigError(ValueError):
    """A flag or setting that cannot be used; the message lists the allowed values."""


@contextlib.contextmanager
def as_config_error() -> Iterator[None]:
    """Context in which a `ValueError` of a setting becomes a `ConfigError`."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def refuse_unknown(name: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a value that is not allowed.

    Raises:
      ConfigError: the value is unknown; lists the allowed values and suggests the closest one.
    """
    if value not in allowed:
        raise ConfigError(f"{name} {value!r} is unknown; choose one of {', '.join(allowed)}{_nearest(value, allowed)}")


class CommandParser(argparse.ArgumentParser):
    """Parser of one command; unknown flags raise a `ConfigError` that suggests the closest flag.

    Args:
      command: name of the command, as typed after `python -m experiments.`.
      about: first paragraphs of the help, usually the module's docstring.
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
        """Values of the flags; former spellings are replaced with a note, errors raise `ConfigError`."""
        options = {option for action in self._actions for option in action.option_strings}
        known, unknown = self.parse_known_args([_renamed(word, options) for word in args or ()], namespace)
        if unknown:
            flag = unknown[0].split("=")[0]
            if not flag.startswith("-"):
                self.error(f"unexpected argument {flag}: flags start with --, and their value follows after =")
            self.error(f"unknown flag {flag}{_nearest(flag, options)}")
        return known

    def error(self, message: str) -> NoReturn:
        """Raise a `ConfigError` instead of exiting."""
        chosen = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        near = _nearest(chosen[1], re.findall(r"[\w.-]+", chosen[2])) if chosen else ""
        text = f"{message}{near}"
        raise ConfigError(f"{text}{'' if text.endswith('?') else '.'} {self.prog} --help lists all flags")


def whole_number(least: int) -> Callable[[str], int]:
    """Parser of a flag with a whole number from `least` on."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return parse


def about_text(text: str) -> str:
    """A module docstring for the help: its paragraphs, wrapped to the width of the terminal."""
    return "\n\n".join(
        textwrap.fill(" ".join(part.split()), _width(), break_on_hyphens=False) for part in text.split("\n\n")
    )


def parse_flags(argv: Sequence[str], command: str, about: str, groups: Groups, main: Collection[str]) -> dict[str, Any]:
    """Parse flags that are defined by dataclass fields.

    The name of a field is its flag, its type parses the value, and its entry under "Attributes:" is its help. Field names are
    unique over all groups.

    Args:
      argv: command-line words.
      command: name of the command, as typed after `python -m experiments.`.
      about: one line for the help.
      groups: titles and dataclasses.
      main: fields that the first screen of the help explains.

    Returns:
      Values by field name.

    Raises:
      ConfigError: an unknown flag, or a value of the wrong type.
      SystemExit: with status 0, after printing the requested help.
    """
    parser = CommandParser(command, about)
    for _, kind in groups:
        for field in plain_fields(kind):
            name = _FLAG_OF_FIELD.get(field.name, field.name)
            options: dict[str, Any] = {"dest": field.name, "default": field.default}
            if field.type is bool:
                options |= {"type": _truth, "nargs": "?", "const": True}
            else:
                # Literal types and `str | None` are parsed as text; the dataclass checks the value.
                options |= {"type": field.type if field.type in (int, float) else str}
            parser.add_argument(f"--{name}", **options)
    asked = next((word for word in argv if word == "-h" or word.split("=")[0] == "--help"), None)
    if asked is not None:
        print(_help(parser.prog, about, groups, main, asked.partition("=")[2]))
        raise SystemExit(0)
    return vars(parser.parse_args(list(argv)))


def _width() -> int:
    """Width of the terminal, within limits."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 0)).columns))


def plain_fields(kind: type) -> list[dataclasses.Field]:
    """Fields that are flags; nested dataclasses are groups of their own, and `metadata={"flag": False}` marks internal fields."""
    fields = [field for field in dataclasses.fields(kind) if field.metadata.get("flag", True)]
    return [field for field in fields if not dataclasses.is_dataclass(field.type)]


def own_values(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """The values that belong to one dataclass."""
    return {field.name: values[field.name] for field in plain_fields(kind)}


def _help(prog: str, about: str, groups: Groups, main: Collection[str], asked: str) -> str:
    """Help text: the main flags explained and all flags listed; or, if requested, one group or all groups explained."""
    titles = [title.replace(" ", "_") for title, _ in groups]
    if asked:
        refuse_unknown("help", asked, (*titles, _EVERYTHING))
        chosen = [(t, kind) for t, (_, kind) in zip(titles, groups, strict=True) if asked in (t, _EVERYTHING)]
        return "\n".join(line for title, kind in chosen for line in (f"{title}:", *_explained(kind)))
    lines = [f"{prog} [--dataset=NAME] [--data_dir=FOLDER] [--FLAG=VALUE ...]", about, ""]
    for _, kind in groups:
        lines += _explained(kind, main)
    lines += ["", f"All flags with their defaults; --help=GROUP explains one group, --help={_EVERYTHING} every group:"]
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


def _renamed(word: str, options: Collection[str]) -> str:
    """The current spelling of a command-line word; prints a note if it differs."""
    flag, equals, value = word.partition("=")
    name = flag.removeprefix("--")
    if flag in options or not flag.startswith("--"):
        new = name
    else:
        new = RENAMED_FLAGS.get(name, name) if f"--{RENAMED_FLAGS.get(name)}" in options else name
    values = [RENAMED_VALUES.get((new, part), part) for part in value.split(",")]
    current = f"--{new}{equals}{','.join(values)}" if flag.startswith("--") else word
    if current != word:
        note = f"note: {word} is now {current}; the former spelling works for one more version"
        print(printable(note), file=sys.stderr)
    return current


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
