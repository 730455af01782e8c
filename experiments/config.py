"""Frozen dataclasses are the truth; the command line is generated from them.

A field's name is its flag, its type parses the value, its line under "Attributes:" is its help. Field names are unique over all
groups, so every flag is one plain word.
"""

import argparse
import dataclasses
import difflib
import inspect
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lightman_jax.bilevel import BilevelConfig
from lightman_jax.branches import NetworkConfig
from lightman_jax.data.catalog import PROTOCOLS
from lightman_jax.folds import TrainConfig
from lightman_jax.label_generator import GeneratorConfig
from lightman_jax.methods import METHODS, MethodConfig, method_config
from lightman_jax.tasks import TaskConfig

DATA_VARIABLE = "LIGHTMAN_DATA"


class ConfigError(ValueError):
    """A flag or setting that cannot be used; the message says what is allowed."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What to run, on what, and where to write it.

    Attributes:
      dataset: smic, casme2 or megc2019 (every corpus of the composite that the folder holds).
      data_dir: folder of the corpus; without it (and without LIGHTMAN_DATA) invented stand-in clips of SMIC are used.
      shards: folder in which prepared data are kept and found again.
      workdir: folder of this run's results; by default runs/DATASET-METHOD.
      method_name: lightman, lightman_fo, joint, maml, fomaml, anil, reptile, meta_sgd, protonet or generated.
      seeds: how many trainings of every fold; 0 means 5 on a corpus and 1 on the stand-in.
      skip_bad_clips: run without the clips that cannot be read, instead of stopping and listing them.
      train: settings of one fold's training.
    """

    dataset: str = "smic"
    data_dir: str | None = None
    shards: str = "~/.cache/lightman_jax"
    workdir: str | None = None
    method_name: str = "lightman"
    seeds: int = 0
    skip_bad_clips: bool = False
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.dataset not in PROTOCOLS:
            raise ConfigError(
                f"dataset {self.dataset!r} is unknown; choose one of {', '.join(PROTOCOLS)}{_nearest(self.dataset, PROTOCOLS)}"
            )
        if self.method_name not in METHODS:
            raise ConfigError(
                f"method {self.method_name!r} is unknown; choose one of {', '.join(METHODS)}{_nearest(self.method_name, METHODS)}"
            )
        if self.seeds < 0:
            raise ConfigError(f"seeds {self.seeds} is negative; choose 1 or more, or 0 for the default")

    @property
    def trained(self) -> TrainConfig:
        """The training settings with the method's own changes applied: what is really run."""
        return dataclasses.replace(self.train, method=method_config(self.method_name, self.train.method))


_GROUPS: tuple[tuple[str, type], ...] = (
    ("run", RunConfig),
    ("training", TrainConfig),
    ("level one", BilevelConfig),
    ("losses", MethodConfig),
    ("label generator", GeneratorConfig),
    ("tasks", TaskConfig),
    ("network", NetworkConfig),
)
_FLAG_OF_FIELD = {"method_name": "method"}


def parse_config(argv: Sequence[str]) -> RunConfig:
    """Build the run's settings from command-line words.

    Raises:
      ConfigError: an unknown flag, a value of the wrong type, or settings that do not go together.
      SystemExit: with status 0, after printing the help, if `--help` is among the words.
    """
    parser = _parser()
    known, unknown = parser.parse_known_args(list(argv))
    if unknown:
        flag = unknown[0].split("=")[0]
        names = [option for action in parser._actions for option in action.option_strings]
        raise ConfigError(
            f"unknown flag {flag}{_nearest(flag, names)}. python -m experiments.run --help lists all flags"
        )
    values = vars(known)
    try:
        bilevel = BilevelConfig(**_own(values, BilevelConfig))
        generator = GeneratorConfig(**_own(values, GeneratorConfig))
        method = MethodConfig(bilevel=bilevel, generator=generator, **_own(values, MethodConfig))
        train = TrainConfig(
            method=method,
            network=NetworkConfig(**_own(values, NetworkConfig)),
            task=TaskConfig(**_own(values, TaskConfig)),
            **_own(values, TrainConfig),
        )
        run = RunConfig(train=train, **_own(values, RunConfig))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return dataclasses.replace(run, data_dir=run.data_dir or os.environ.get(DATA_VARIABLE) or None)


def default_workdir(config: RunConfig, dataset: str) -> Path:
    """Where a run of `dataset` is written unless `--workdir` says otherwise."""
    return Path(config.workdir or Path("runs") / f"{dataset}-{config.method_name}").expanduser()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. python -m experiments.run --help lists all flags")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m experiments.run",
        usage="python -m experiments.run [--dataset=NAME] [--data_dir=FOLDER] [--method=NAME] [--FLAG=VALUE ...]",
        description="Train and evaluate micro-expression recognition under leave-one-subject-out.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=120),
        allow_abbrev=False,
    )
    for title, kind in _GROUPS:
        group = parser.add_argument_group(title)
        texts = _attribute_texts(kind)
        for field in _plain_fields(kind):
            name = _FLAG_OF_FIELD.get(field.name, field.name)
            text = texts[field.name] + ("" if field.default in (None, "") else f" [{field.default}]")
            options: dict[str, Any] = {"dest": field.name, "default": field.default, "help": text.replace("%", "%%")}
            if field.type is bool:
                options |= {"type": _truth, "nargs": "?", "const": True, "metavar": "BOOL"}
            else:
                options |= {"type": _parser_of(field.type), "metavar": name.split("_")[-1].upper()}
            group.add_argument(f"--{name}", **options)
    return parser


def _plain_fields(kind: type) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(kind) if not dataclasses.is_dataclass(field.type)]


def _own(values: dict[str, Any], kind: type) -> dict[str, Any]:
    return {field.name: values[field.name] for field in _plain_fields(kind)}


def _parser_of(kind: Any) -> Any:
    if kind in (int, float, str):
        return kind
    # Literal types and `str | None` arrive as text; the dataclass itself refuses what it does not know.
    return str


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
