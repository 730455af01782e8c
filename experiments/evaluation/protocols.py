"""Evaluation protocols: which clips each fold holds out, and how the held-out clips are evaluated."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError, as_config_error
from experiments.cli.runtime import is_first, wait_for_all
from experiments.cli.terminal import PlainConsole
from experiments.evaluation.baselines import baseline_configs, baseline_work
from experiments.evaluation.cross_validation import Work, train_jobs_as_worker
from experiments.evaluation.data import load_data
from experiments.evaluation.few_shot import FEW_SHOT, SUBJECT_CALIBRATION, Design, evaluate_episodes
from experiments.evaluation.groups import fold_without, group_of_subjects
from experiments.evaluation.held_out import Evaluated, evaluate_held_out
from experiments.evaluation.plan import Plan, PlannedRun
from lightman_jax.data.corpora.registry import CORPORA, DATASETS
from lightman_jax.data.preparation.load import Prepared
from lightman_jax.data.preparation.views import extraction_places
from lightman_jax.data.records import DataError
from lightman_jax.meta.methods import METHODS
from lightman_jax.model.initial import InitialFile, InitialWeights, initial_weights, read_initial
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import Fold, leave_one_subject_out
from lightman_jax.training.leakage import LeakWarning, check_leaks
from lightman_jax.training.mirroring import mirror_partners, mirror_text
from lightman_jax.types import ClipSet

_SEEDS_ON_CORPUS, _SEEDS_ON_STAND_IN = 5, 1

MakeFolds = Callable[[ClipSet, ClipSet | None], list[Fold]]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way to split the clips into folds and to evaluate them.

    Attributes:
      name: value of `--protocol`.
      held_out: what a fold holds out, in one word.
      make_folds: folds from micro clips and macro clips; raises `ValueError` if nothing can be held out.
      design: how episodes with labelled test clips are drawn and scored; None if no labelled test clip is given.
      transductive: networks adapt to the views of the fold's unlabelled test clips.
    """

    name: str
    held_out: str
    make_folds: MakeFolds
    design: Design | None = None
    transductive: bool = False

    @property
    def gives_labels(self) -> bool:
        """Whether some clips of the held-out subjects are given with their labels at test time."""
        return self.design is not None

    def plan(self, dataset: str, prepared: Prepared) -> Plan:
        """Folds of the data, and what the complete protocol has in addition.

        Raises:
          DataError: a class has no clip, or nothing can be held out.
        """
        micro, manifest, asked = prepared.micro, prepared.manifest, DATASETS[dataset]
        absent = [name for index, name in enumerate(micro.classes) if not (micro.label == index).any()]
        if absent:
            raise DataError(
                f"there is no clip of class {', '.join(absent)}; {asked.title} needs every class of {', '.join(micro.classes)}"
            )
        try:
            folds = self.make_folds(micro, prepared.macro)
        except ValueError as error:
            raise DataError(str(error)) from error
        by_corpus = self.held_out == "corpus"
        suffix = ", one corpus left out" if by_corpus else ", transductive" if self.transductive else ""
        if manifest.stand_in:
            return Plan(f"{asked.title} stand-in (synthetic clips){suffix}", folds, len(folds), [])
        present = set(micro.dataset)
        missing = [f"{CORPORA[name].title} is not there" for name in asked.corpora if name not in present]
        subjects = 0
        for count in manifest.counts:
            if count.pool == "micro":
                subjects += count.published_subjects or count.subjects
                clips = sum(count.found.values())
                if count.published and clips != sum(count.published.values()):
                    missing.append(f"{count.title} has {clips} of {sum(count.published.values())} clips")
        expected = len(asked.corpora) if by_corpus else subjects if self.held_out == "subject" else 0
        labels = manifest.labels
        title = asked.title if labels == "3" else f"{asked.title}, {len(micro.classes)} classes ({labels})"
        return Plan(title + suffix, folds, max(expected, len(folds)), missing + list(manifest.notes))

    def evaluate(self, run: PlannedRun, workdir: Path, console: Console, summary_writer: Any = None) -> Evaluated:
        """Train, predict and score; writes into the workdir. See `evaluate_held_out` and `evaluate_episodes`."""
        if self.design is not None:
            return Evaluated(evaluate_episodes(run, self.design, workdir, console))
        align_steps = self.align_steps(run.config)
        return evaluate_held_out(run, self.held_out, workdir, console, summary_writer, align_steps=align_steps)

    def align_steps(self, config: RunConfig) -> int:
        """Inner steps on the views of the unlabelled test clips; 0 unless the protocol is transductive."""
        return config.adapt_steps if self.transductive else 0


def _subject_folds(micro: ClipSet, macro: ClipSet | None) -> list[Fold]:
    return leave_one_subject_out(micro.subject, macro.subject if macro is not None else ())


def _corpus_folds(micro: ClipSet, macro: ClipSet | None) -> list[Fold]:
    """One fold per corpus; its macro clips are held out as well."""
    corpora = sorted(set(micro.dataset))
    if len(corpora) < 2:
        raise ValueError(
            f"leave_one_dataset_out needs at least two corpora, found {', '.join(corpora)}; choose --dataset=megc2019, or "
            "--protocol=loso"
        )
    own, other = np.array(micro.dataset), np.array(micro.dataset if macro is None else macro.dataset)
    return [
        Fold(name=name, test=np.flatnonzero(own == name), train=own != name, macro_train=other != name)
        for name in corpora
    ]


def _group_folds(micro: ClipSet, macro: ClipSet | None) -> list[Fold]:
    """One fold per group of subjects."""
    of_subject = group_of_subjects(micro.subject)
    return [fold_without({g}, micro, macro, of_subject, name=f"group {g}") for g in sorted(set(of_subject.values()))]


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("loso", "subject", _subject_folds),
        Protocol("leave_one_dataset_out", "corpus", _corpus_folds),
        Protocol("few_shot", "group", _group_folds, FEW_SHOT),
        Protocol("subject_calibration", "subject", _subject_folds, SUBJECT_CALIBRATION),
        Protocol("transductive", "subject", _subject_folds, transductive=True),
    )
}
"""What `--protocol` takes."""


def plan_run(config: RunConfig, console: Console) -> PlannedRun:
    """Prepare the data, on the first process before the others, and plan the folds and seeds of a run.

    Raises:
      ConfigError: the method cannot be evaluated under the protocol, or the weights of `--init` do not fit.
      DataError: the data cannot be used as asked, or a fold would leak.
    """
    protocol = PROTOCOLS[config.protocol]
    if protocol.gives_labels and not METHODS[config.method_name].adapts:
        raise ConfigError(
            f"method {config.method_name} adapts to no task; {config.protocol} needs another method, such as --method=lightman"
        )
    if protocol.transductive and not METHODS[config.method_name].aligns:
        raise ConfigError(
            f"method {config.method_name} aligns no views; {config.protocol} needs --method=lightman or lightman_fo"
        )
    # Before the data, whose preparation may take hours.
    weights = open_initial(config.train)
    if not is_first():
        wait_for_all("prepared")
    prepared = load_data(config.data, console.print, config.image_memory)
    if is_first():
        wait_for_all("prepared")
    config, initial = with_initial(with_clips(config, prepared), prepared.micro, weights)
    if weights is not None and initial is not None:
        console.print(f"weights: every training starts from {initial.text}", markup=False, highlight=False)
        if weights.card is None and config.train.channels == "rgb" and config.train.scaling != "imagenet":
            console.print("note: weights of torchvision and timm expect colours as --scaling=imagenet gives them")
    plan = protocol.plan(config.data.dataset, prepared)
    try:
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always", LeakWarning)
            train = config.train
            check_leaks(prepared.micro, prepared.macro, plan.folds, train.scaling, channels=train.channels)
    except ValueError as error:
        raise DataError(str(error)) from error
    plan = plan._replace(
        missing=[*plan.missing, *(str(doubt.message) for doubt in doubts if doubt.category is LeakWarning)]
    )
    if config.dry_run:
        plan = plan._replace(folds=plan.folds[:2])
    config = _with_mirroring(config, prepared.micro.classes, console)
    manifest = prepared.manifest
    seeds = config.seeds or (_SEEDS_ON_STAND_IN if manifest.stand_in else _SEEDS_ON_CORPUS)
    # Where a network adapts to given clips, it is a single one.
    size = 1 if protocol.gives_labels else config.ensemble_size_used
    work = Work(manifest.dataset, prepared.micro, prepared.macro, plan.folds, range(seeds), size, initial)
    return PlannedRun(config, prepared, plan, work)


def with_clips(config: RunConfig, prepared: Prepared) -> RunConfig:
    """The settings with the channels and the number of views of the clips, and their alignment where the protocol adapts by it.

    Raises:
      ConfigError: the settings need more views or macro clips than the data have.
    """
    names = prepared.micro.views
    network = dataclasses.replace(
        config.train.network, views=max(1, len(names)), extractions=extraction_places(names) if names else ()
    )
    train = dataclasses.replace(config.train, network=network, channels=config.data.motion.channels)
    if PROTOCOLS[config.protocol].transductive:
        if train.auxiliary not in ("auto", "views"):
            raise ConfigError(
                f"--protocol={config.protocol} adapts by the alignment of views; add --auxiliary=views, not {train.auxiliary}"
            )
        train = dataclasses.replace(train, auxiliary="views")
    try:
        train.aligned_with(has_macro=prepared.macro is not None)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error
    return dataclasses.replace(config, train=train)


def open_initial(train: TrainConfig) -> InitialFile | None:
    """The file of `--init`, after its network was compared with the settings; None for random weights.

    Raises:
      ConfigError: it cannot be read, or is of another network.
    """
    if not train.init:
        return None
    with as_config_error():
        weights = read_initial(train.init)
        weights.network(train.network)
    return weights


def with_initial(
    config: RunConfig, micro: ClipSet, weights: InitialFile | None
) -> tuple[RunConfig, InitialWeights | None]:
    """The settings with the network that the weights of `--init` need, and these weights.

    Raises:
      ConfigError: they do not fit the images, or were trained on a corpus of the clips.
    """
    if weights is None or not config.train.init:
        return config, None
    with as_config_error():
        initial = initial_weights(weights, config.train, micro)
    return dataclasses.replace(config, train=initial.config), initial


def _with_mirroring(config: RunConfig, classes: tuple[str, ...], console: Console) -> RunConfig:
    """The settings with `mirror` off where a class name holds a side of the face; prints how clips are mirrored."""
    try:
        mirrored = mirror_partners(config.train.mirror, classes) is not None
    except ValueError as error:
        raise ConfigError(f"--{error}") from error
    text = mirror_text(config.train.mirror, classes)
    if text:
        remedy = "; --mirror=NAME:NAME names two classes that are each other's mirror image" if not mirrored else ""
        console.print(f"note: {text}{remedy}", markup=False)
    return config if mirrored else dataclasses.replace(config, train=dataclasses.replace(config.train, mirror="off"))


def train_as_worker(config: RunConfig) -> None:
    """Take part in a run as a process other than the first: train with it, and write nothing."""
    run = plan_run(config, PlainConsole(quiet=True))
    configs = [run.config.trained]
    if not PROTOCOLS[config.protocol].gives_labels:
        configs += baseline_configs(run.config).values()
    for trained in configs:
        train_jobs_as_worker(baseline_work(run.work, trained, run.config), trained)
