"""Settings of a run and of a preparation as frozen dataclasses, from which the command lines are generated."""

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from experiments.cli.baseline_names import chosen_baselines
from experiments.cli.flags import ConfigError, as_config_error, own_values, parse_flags, refuse_unknown
from lightman_jax.checks import is_number
from lightman_jax.data.corpora.labels import check_labels
from lightman_jax.data.corpora.registry import DATASETS, MACRO_CORPORA
from lightman_jax.data.corpora.simulated_au import SIMULATED_AU
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.files import user_path
from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.label_generator import GeneratorConfig
from lightman_jax.meta.methods import METHODS, MethodConfig, method_config
from lightman_jax.meta.view_networks import group_count
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.augmentation import AugmentConfig
from lightman_jax.training.config import TaskConfig, TrainConfig

DATA_VARIABLE = "LIGHTMAN_DATA"

SubjectSpelling = Literal["unified", "as_written"]
SkipOrKeep = Literal["skip", "keep"]
ProtocolName = Literal["loso", "leave_one_dataset_out", "few_shot", "subject_calibration", "transductive"]


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Data, labels, and the folder of prepared data.

    Attributes:
      dataset: a corpus (smic, casme2, samm, ...), a composite of the corpora that are present (megc2019, megc2018), or table (your
        own clips).
      data_dir: folder of the corpus as downloaded, or FIRST,SECOND of two flow releases; without it (and without LIGHTMAN_DATA)
        synthetic stand-in clips are used.
      labels: label space: 3, 4, 5 or 7 classes, objective (classes by action units), au12 (presence of action unit 12) or own
        (labels as they are); empty means the default of the dataset, mostly 3.
      macro: corpus of macro-expressions for the auxiliary branch (ck_plus, oulu_casia, fer2013, ravdess, mmew, casme_squared,
        casme3, samm_long, table, simulated_au).
      macro_dir: folder of that corpus; without it synthetic stand-in clips are used.
      geometry: folder of ICT-FaceKit as cloned, whose measured heads simulated_au moves; without it built-in patches.
      corrections: table of corrections to the annotations, with columns clip, field, old, new, source.
      subjects: unified (spellings of a subject that differ in case, blanks, leading zeros or Unicode form are one subject) or
        as_written.
      subject_aliases: table with columns subject, same_as, of names that are one subject.
      incomplete: skip or keep clips whose onset or offset is missing; keep takes the first or last
        image of their folder, or the apex in a long video.
      no_movement: skip or keep clips without a visible movement, such as clips whose apex is their onset.
      data_cache: folder of prepared data and compiled programs, reused by later runs.
      skip_bad_clips: continue without unusable clips instead of stopping with a list of them.
      motion: representation that is computed from a clip.
    """

    dataset: str = "smic"
    data_dir: str | None = None
    labels: str = ""
    macro: str | None = None
    macro_dir: str | None = None
    geometry: str | None = None
    corrections: str | None = None
    subjects: SubjectSpelling = "unified"
    subject_aliases: str | None = None
    incomplete: SkipOrKeep = "skip"
    no_movement: SkipOrKeep = "skip"
    data_cache: str = "~/.cache/lightman_jax"
    skip_bad_clips: bool = False
    motion: MotionConfig = dataclasses.field(default_factory=MotionConfig)

    def __post_init__(self) -> None:
        refuse_unknown("dataset", self.dataset, DATASETS)
        refuse_unknown("subjects", self.subjects, get_args(SubjectSpelling))
        for name in ("incomplete", "no_movement"):
            refuse_unknown(name, getattr(self, name), get_args(SkipOrKeep))
        if self.macro is not None:
            refuse_unknown("macro", self.macro, MACRO_CORPORA)
        if self.labels:
            with as_config_error():
                check_labels(self.labels)
        if self.geometry and SIMULATED_AU.name not in (self.dataset, self.macro):
            raise ConfigError(
                "geometry is given without simulated clips; add --macro=simulated_au, or --dataset=simulated_au"
            )
        if self.macro_dir and not self.macro:
            raise ConfigError(f"macro_dir is given without macro; add --macro=NAME, one of {', '.join(MACRO_CORPORA)}")

    @property
    def label_name(self) -> str:
        """Label space: as set, else the default of the dataset."""
        return self.labels or _DEFAULT_LABELS.get(self.dataset, "3")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Method, protocol, repetitions and output folder of a run.

    Attributes:
      data: data and labels.
      workdir: folder of the results; default runs/DATASET-METHOD.
      protocol: loso (leave-one-subject-out over all corpora of the data), leave_one_dataset_out, few_shot (episodes whose support
        and query subjects differ), subject_calibration (some labelled clips of the test subject are given) or transductive
        (leave-one-subject-out, with adaptation to the views of the unlabelled clips of the test subject).
      shots_given: labelled clips per class at test time, in few_shot and subject_calibration.
      adapt_steps: inner steps on these clips, and on the unlabelled clips in transductive.
      episodes: minimum number of episodes in few_shot.
      method_name: lightman, lightman_fo, joint, maml, fomaml, anil, reptile, meta_sgd, protonet or generated.
      baselines: baselines to compare with: default, meta (the other methods), all, none, or a comma-separated list of majority,
        knn, linear_svm, rbf_svm, perceptron, ststnet, offapexnet and methods.
      seeds: number of seeds, each with its own training of every fold and its own score; 0 means 5 on a corpus, 1 on a stand-in.
      ensemble_size: trainings per fold and seed whose probabilities are averaged; 0 means 5 for the backbone mlp, 1 for others, and
        fewer than 5 where each training has several networks for the views of a clip (4 with two, 3 with three).
      image_memory: share of the computer's memory that images may take; larger ones are read from the prepared files as they are
        drawn, with the same draws. 0: always. Choice: 0.25, because scaled images and their copies take up to three times as much.
      dry_run: run every phase on two folds with two steps, and forecast time, memory and disk; no result is stored.
      tensorboard: write TensorBoard files to WORKDIR/tensorboard during training.
      coordinator: HOST:PORT of the first of several processes that train together; detected for srun, Open MPI 4 and TPU pods.
      processes: number of these processes; 1 never waits for others, 0 means all that srun, Open MPI 4 or a TPU pod has started.
      process_id: index of this process, from 0.
      train: settings of the training of one fold.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    workdir: str | None = None
    protocol: ProtocolName = "loso"
    shots_given: int = 1
    adapt_steps: int = 5
    episodes: int = 1000
    method_name: str = "lightman"
    baselines: str = "default"
    seeds: int = 0
    ensemble_size: int = 0
    image_memory: float = 0.25
    dry_run: bool = False
    tensorboard: bool = False
    coordinator: str | None = None
    processes: int = 0
    process_id: int = 0
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        refuse_unknown("protocol", self.protocol, get_args(ProtocolName))
        refuse_unknown("method", self.method_name, METHODS)
        if self.train.method.name not in (MethodConfig.name, self.method_name):
            raise ConfigError(
                f"train.method.name {self.train.method.name!r} contradicts the method {self.method_name!r}"
            )
        self._refuse_other_images()
        if min(self.shots_given, self.adapt_steps, self.episodes) < 1:
            raise ConfigError("shots_given, adapt_steps and episodes must be 1 or more")
        with as_config_error():
            chosen_baselines(self.baselines)
        if min(self.seeds, self.ensemble_size) < 0:
            raise ConfigError(
                f"seeds {self.seeds} and ensemble_size {self.ensemble_size} must be 1 or more; choose 0 for the default"
            )
        if not is_number(self.image_memory) or self.image_memory > 1:
            raise ConfigError(
                f"image_memory {self.image_memory} is no share; choose 0 (never in memory) to 1 (all of it)"
            )
        if self.processes < 0 or not 0 <= self.process_id < max(1, self.processes):
            raise ConfigError(
                f"process_id {self.process_id} is not one of 0 to processes - 1 = {max(1, self.processes) - 1}"
            )
        if self.coordinator and not self.processes:
            raise ConfigError(f"coordinator {self.coordinator} is given without --processes=COUNT")
        if self.processes > 1 and not self.coordinator:
            raise ConfigError(
                f"{self.processes} processes need --coordinator=HOST:PORT of the first process, the same for all"
            )

    def _refuse_other_images(self) -> None:
        """Raise a `ConfigError` for a scaling or an augmentation that the images of the representation do not have."""
        motion, train = self.data.motion, self.train
        with as_config_error():
            dataclasses.replace(train, channels=motion.channels)
        if motion.representation in ("difference", "dynamic") and (
            train.scaling == "imagenet" or train.augment.brightness
        ):
            raise ConfigError(
                f"scaling imagenet and brightness are for faces, not for the changes of --representation={motion.representation}; "
                "choose --representation=apex or frames, or leave them out"
            )

    @property
    def ensemble_size_used(self) -> int:
        """Number of trainings per fold and seed; their number of networks follows from the views of the clips."""
        network = self.train.network
        if self.ensemble_size or network.backbone != "mlp":
            return self.ensemble_size or 1
        groups = group_count(network)
        return _DEFAULT_ENSEMBLE_SIZE if groups == 1 else max(2, math.ceil(_NETWORKS_OF_VIEWS / groups))

    @property
    def trained(self) -> TrainConfig:
        """The training settings with the changes of the method applied."""
        return dataclasses.replace(self.train, method=method_config(self.method_name, self.train.method))


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Settings of a preparation.

    Attributes:
      data: data and labels.
      check: only check the data, and write the findings to --out.
      out: JSON file of the check; default check.json.
      workers: number of processes; 0 means one per core.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    check: bool = False
    out: str | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers {self.workers} is negative; choose 1 or more, or 0 for one per core")


_DATA_GROUPS: tuple[tuple[str, type], ...] = (("data", DataConfig), ("motion", MotionConfig))
_RUN_GROUPS: tuple[tuple[str, type], ...] = (
    *_DATA_GROUPS[:1],
    ("run", RunConfig),
    ("training", TrainConfig),
    ("inner loop", BilevelConfig),
    ("losses", MethodConfig),
    ("label generator", GeneratorConfig),
    ("tasks", TaskConfig),
    ("augmentation", AugmentConfig),
    ("network", NetworkConfig),
    *_DATA_GROUPS[1:],
)
_PREPARE_GROUPS: tuple[tuple[str, type], ...] = (("prepare", PrepareConfig), *_DATA_GROUPS)
_MAIN_OF_RUN = (
    *("dataset", "data_dir", "macro", "workdir", "protocol", "method_name", "baselines"),
    *("seeds", "dry_run", "steps"),
)
_MAIN_OF_PREPARE = ("dataset", "data_dir", "labels", "macro", "check", "out", "representation", "views", "apex_policy")
# On inner subjects an ensemble of five dense networks has 0.008 more UF1 than one network; larger networks are too slow.
_DEFAULT_ENSEMBLE_SIZE = 5
# With two networks per training, the mean of one to five trainings has a UF1 of 0.835 to 0.839 (sd over seeds 0.008).
_NETWORKS_OF_VIEWS = 8
_DEFAULT_LABELS = {"casme3_c": "objective", "megc2018": "objective", "table": "own"}


def parse_config(argv: Sequence[str]) -> RunConfig:
    """Settings of a run from command-line words.

    Raises:
      ConfigError: an unknown flag, a value of the wrong type, or settings that contradict each other.
      SystemExit: with status 0 after printing the help, if `--help` is among the words.
    """
    about = "Train and evaluate micro-expression recognition, by default leave-one-subject-out."
    values = parse_flags(argv, "run", about, _RUN_GROUPS, _MAIN_OF_RUN)
    with as_config_error():
        bilevel = BilevelConfig(**own_values(values, BilevelConfig))
        generator = GeneratorConfig(**own_values(values, GeneratorConfig))
        method = MethodConfig(bilevel=bilevel, generator=generator, **own_values(values, MethodConfig))
        train = TrainConfig(
            method=method,
            network=NetworkConfig(**own_values(values, NetworkConfig)),
            task=TaskConfig(**own_values(values, TaskConfig)),
            augment=AugmentConfig(**own_values(values, AugmentConfig)),
            **own_values(values, TrainConfig),
        )
        motion = MotionConfig(**own_values(values, MotionConfig))
        return RunConfig(train=train, data=data_config(values, motion), **own_values(values, RunConfig))


def parse_prepare_config(argv: Sequence[str]) -> PrepareConfig:
    """Settings of a preparation from command-line words; errors as `parse_config`."""
    about = "Check a downloaded corpus and prepare it for training."
    values = parse_flags(argv, "prepare", about, _PREPARE_GROUPS, _MAIN_OF_PREPARE)
    with as_config_error():
        motion = MotionConfig(**own_values(values, MotionConfig))
        return PrepareConfig(data=data_config(values, motion), **own_values(values, PrepareConfig))


def data_config(values: dict[str, Any], motion: MotionConfig) -> DataConfig:
    """Settings of the data from the values of flags; the folder may be given by `DATA_VARIABLE`."""
    data = DataConfig(motion=motion, **own_values(values, DataConfig))
    return dataclasses.replace(data, data_dir=data.data_dir or os.environ.get(DATA_VARIABLE) or None)


def data_folders(text: str) -> list[Path]:
    """Folders of a comma-separated list. A folder whose own name has a comma is one folder."""
    pieces = text.split(",")
    for count in range(len(pieces), 0, -1):
        first, rest = ",".join(pieces[:count]), ",".join(pieces[count:])
        for spelling in (first, first.strip()):
            if spelling and user_path(spelling).is_dir():
                return list(dict.fromkeys([user_path(spelling), *(data_folders(rest) if rest.strip() else ())]))
    return [user_path(text)]


def default_workdir(config: RunConfig, dataset: str) -> Path:
    """Folder of a run: `--workdir`, else a name from the dataset, protocol and method below `runs`."""
    name = (
        f"{dataset}-{config.method_name}"
        if config.protocol == "loso"
        else f"{dataset}-{config.protocol}-{config.method_name}"
    )
    return user_path(config.workdir or Path("runs") / name)
