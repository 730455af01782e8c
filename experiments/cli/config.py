"""Frozen dataclasses are the truth about a run's settings; the command line is generated from them."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from experiments.cli.flags import ConfigError, as_config_error, own_values, parse_flags, refuse_unknown
from experiments.evaluation.baselines import chosen_baselines
from lightman_jax.data.corpora.catalog import MACRO_CORPORA, PROTOCOLS
from lightman_jax.data.corpora.labels import check_labels
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.label_generator import GeneratorConfig
from lightman_jax.meta.methods import METHODS, MethodConfig, method_config
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TaskConfig, TrainConfig

DATA_VARIABLE = "LIGHTMAN_DATA"

ProtocolName = Literal["loso", "leave_one_dataset_out", "few_shot", "subject_calibration"]
ADAPTED_PROTOCOLS = ("few_shot", "subject_calibration")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which data, how they are labelled, and where prepared ones are kept.

    Attributes:
      dataset: a corpus (smic, casme2, samm, ...), megc2019 or megc2018 (composites, as far as they are there) or table (one of
        your own).
      data_dir: folder of the corpus as downloaded; without it (and without LIGHTMAN_DATA) invented stand-in clips
        are used.
      labels: 3, 4, 5, 7, objective (by action units), au12 (is unit 12 there) or own (as they are); empty takes what is usual,
        mostly 3.
      macro: a macro-expression corpus beside it (ck_plus, oulu_casia, fer2013, mmew, casme_squared, casme3,
        samm_long, table, simulated_au).
      macro_dir: folder of that corpus; without it invented stand-in clips are used.
      corrections: a table of corrections, columns clip, field, old, new, source.
      data_cache: folder in which prepared data are kept and found again.
      skip_bad_clips: go on without the clips that cannot be used, instead of stopping and listing them.
      motion: what is computed from a clip.
    """

    dataset: str = "smic"
    data_dir: str | None = None
    labels: str = ""
    macro: str | None = None
    macro_dir: str | None = None
    corrections: str | None = None
    data_cache: str = "~/.cache/lightman_jax"
    skip_bad_clips: bool = False
    motion: MotionConfig = dataclasses.field(default_factory=MotionConfig)

    def __post_init__(self) -> None:
        refuse_unknown("dataset", self.dataset, PROTOCOLS)
        if self.macro is not None:
            refuse_unknown("macro", self.macro, MACRO_CORPORA)
        if self.labels:
            with as_config_error():
                check_labels(self.labels)
        if self.macro_dir and not self.macro:
            raise ConfigError(f"macro_dir is given without macro; add --macro=NAME, one of {', '.join(MACRO_CORPORA)}")

    @property
    def label_name(self) -> str:
        """The label space that is used."""
        return self.labels or _USUAL_LABELS.get(self.dataset, "3")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What to train, and where to write it.

    Attributes:
      data: which data.
      workdir: folder of this run's results; by default runs/DATASET-METHOD.
      protocol: loso (leave one subject out, over all corpora of the data), leave_one_dataset_out (leave one corpus out), few_shot (episodes
        whose support and query are different people) or personal (labelled clips of the test subject are given).
      shots_given: labelled clips a class at test time, of few_shot and personal.
      adapt_steps: inner steps on them.
      episodes: of few_shot, at least.
      method_name: lightman, lightman_fo, joint, maml, fomaml, anil, reptile, meta_sgd, protonet or generated.
      baselines: what stands beside the result: usual, relatives (the other methods), all, none, or some of majority, knn,
        linear_svm, rbf_svm, perceptron, ststnet, offapexnet and the methods, with commas.
      seeds: how many times all folds are trained and scored; 0 means 5 on a corpus and 1 on the stand-in.
      ensemble_size: trainings of every fold and seed whose probabilities are averaged; 0 means 5 of the network mlp and 1 of others.
      dry_run: every phase on two subjects and two steps, with a forecast of time, memory and disk; nothing is kept.
      tensorboard: write TensorBoard's files to WORKDIR/tensorboard while training.
      coordinator: HOST:PORT of the first of several processes that train together; on SLURM and TPU pods found by itself.
      processes: how many there are.
      process_id: which one this is, from 0.
      train: settings of one fold's training.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    workdir: str | None = None
    protocol: ProtocolName = "loso"
    shots_given: int = 1
    adapt_steps: int = 5
    episodes: int = 1000
    method_name: str = "lightman"
    baselines: str = "usual"
    seeds: int = 0
    ensemble_size: int = 0
    dry_run: bool = False
    tensorboard: bool = False
    coordinator: str | None = None
    processes: int = 1
    process_id: int = 0
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        refuse_unknown("protocol", self.protocol, get_args(ProtocolName))
        refuse_unknown("method", self.method_name, METHODS)
        if min(self.shots_given, self.adapt_steps, self.episodes) < 1:
            raise ConfigError("shots_given, adapt_steps and episodes must be 1 or more")
        if self.protocol in ADAPTED_PROTOCOLS and self.method_name == "generated":
            raise ConfigError(
                f"method generated adapts to no task; {self.protocol} needs another method, such as --method=lightman"
            )
        with as_config_error():
            chosen_baselines(self.baselines)
        if min(self.seeds, self.ensemble_size) < 0:
            raise ConfigError(
                f"seeds {self.seeds} and members {self.ensemble_size} must be 1 or more, or 0 for the default; --seeds=5 is usual"
            )
        if not 0 <= self.process_id < self.processes:
            raise ConfigError(f"process_id {self.process_id} is not one of 0 to processes - 1 = {self.processes - 1}")
        if self.processes > 1 and not self.coordinator:
            raise ConfigError(f"{self.processes} processes need --coordinator=HOST:PORT of the first, the same for all")

    @property
    def ensemble_size_used(self) -> int:
        """How many trainings a prediction is the mean of; where a network adapts, it is one."""
        if self.protocol in ADAPTED_PROTOCOLS:
            return 1
        return self.ensemble_size or (_DEFAULT_ENSEMBLE_SIZE if self.train.network.backbone == "mlp" else 1)

    @property
    def trained(self) -> TrainConfig:
        """The training settings with the method's own changes applied: what is really run."""
        return dataclasses.replace(self.train, method=method_config(self.method_name, self.train.method))


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """What to prepare.

    Attributes:
      data: which data.
      check: stop after the check and write it to --out.
      out: file of the check's JSON; by default check.json.
      workers: processes; 0 takes one a core.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    check: bool = False
    out: str | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers {self.workers} is negative; choose 1 or more, or 0 for one a core")


_DATA_GROUPS: tuple[tuple[str, type], ...] = (("data", DataConfig), ("motion", MotionConfig))
_RUN_GROUPS: tuple[tuple[str, type], ...] = (
    *_DATA_GROUPS[:1],
    ("run", RunConfig),
    ("training", TrainConfig),
    ("level one", BilevelConfig),
    ("losses", MethodConfig),
    ("label generator", GeneratorConfig),
    ("tasks", TaskConfig),
    ("network", NetworkConfig),
    *_DATA_GROUPS[1:],
)
_PREPARE_GROUPS: tuple[tuple[str, type], ...] = (("prepare", PrepareConfig), *_DATA_GROUPS)
_MAIN_OF_RUN = (
    *("dataset", "data_dir", "macro", "workdir", "protocol", "method_name", "baselines"),
    *("seeds", "dry_run", "steps"),
)
_MAIN_OF_PREPARE = ("dataset", "data_dir", "labels", "macro", "check", "out", "representation", "apex_policy")
# On inner subjects five dense networks together have 0.008 more UF1 than one; larger networks are too slow for it.
_DEFAULT_ENSEMBLE_SIZE = 5
_USUAL_LABELS = {"casme3_c": "objective", "megc2018": "objective", "table": "own"}


def parse_config(argv: Sequence[str]) -> RunConfig:
    """Build a run's settings from command-line words.

    Raises:
      ConfigError: an unknown flag, a value of the wrong type, or settings that do not go together.
      SystemExit: with status 0, after printing the help, if `--help` is among the words.
    """
    about = "Train and evaluate micro-expression recognition under leave-one-subject-out."
    values = parse_flags(argv, "run", about, _RUN_GROUPS, _MAIN_OF_RUN)
    with as_config_error():
        bilevel = BilevelConfig(**own_values(values, BilevelConfig))
        generator = GeneratorConfig(**own_values(values, GeneratorConfig))
        method = MethodConfig(bilevel=bilevel, generator=generator, **own_values(values, MethodConfig))
        train = TrainConfig(
            method=method,
            network=NetworkConfig(**own_values(values, NetworkConfig)),
            task=TaskConfig(**own_values(values, TaskConfig)),
            **own_values(values, TrainConfig),
        )
        return RunConfig(train=train, data=_data(values), **own_values(values, RunConfig))


def parse_prepare_config(argv: Sequence[str]) -> PrepareConfig:
    """Build a preparation's settings from command-line words; errors as `parse_config`."""
    about = "Check a corpus as downloaded, and prepare it for training."
    values = parse_flags(argv, "prepare", about, _PREPARE_GROUPS, _MAIN_OF_PREPARE)
    with as_config_error():
        return PrepareConfig(data=_data(values), **own_values(values, PrepareConfig))


def _data(values: dict[str, Any]) -> DataConfig:
    data = DataConfig(motion=MotionConfig(**own_values(values, MotionConfig)), **own_values(values, DataConfig))
    return dataclasses.replace(data, data_dir=data.data_dir or os.environ.get(DATA_VARIABLE) or None)


def default_workdir(config: RunConfig, dataset: str) -> Path:
    """Where a run of `dataset` is written unless `--workdir` says otherwise."""
    usual = config.protocol == "loso"
    name = f"{dataset}-{config.method_name}" if usual else f"{dataset}-{config.protocol}-{config.method_name}"
    return Path(config.workdir or Path("runs") / name).expanduser()
