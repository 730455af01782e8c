"""What a run will do, fixed before training: data, folds and seeds, and the parts of the complete protocol that the data lack."""

from typing import NamedTuple

from experiments.cli.config import RunConfig
from experiments.evaluation.cross_validation import Work
from experiments.evaluation.data import data_notes
from experiments.evaluation.run_result import DataSource, RunResult
from lightman_jax.data.preparation.load import Prepared
from lightman_jax.data.preparation.manifest import STAND_IN_SUFFIX
from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU
from lightman_jax.training.folds import Fold
from lightman_jax.training.mirroring import mirror_text


class Plan(NamedTuple):
    """Title of a protocol and its data, its folds, the number of folds of the complete protocol, and the parts the data lack."""

    title: str
    folds: list[Fold]
    folds_expected: int
    missing: list[str]


class PlannedRun(NamedTuple):
    """Settings, prepared data, folds, and the training work of a run."""

    config: RunConfig
    prepared: Prepared
    plan: Plan
    work: Work

    @property
    def stand_in(self) -> bool:
        """Whether the clips are synthetic."""
        return self.prepared.manifest.stand_in

    @property
    def macro_text(self) -> str:
        """What the auxiliary branch aligns with, in words: number and origin of the macro clips, or other views."""
        macro, gain = self.prepared.macro, self.config.train.macro_gain
        aligned = self.config.train.aligned_with(has_macro=macro is not None)
        if aligned == "views":
            return f"none used; the {len(self.prepared.micro.views)} views of each movement are aligned with each other"
        if macro is None or aligned == "magnified":
            found = "none in the data" if macro is None else "not used"
            return f"{found}; pseudo-macro clips tanh({gain:g} x) of each fold's own training clips"
        if {name.removesuffix(STAND_IN_SUFFIX) for name in macro.dataset} == {SIMULATED_AU}:
            heads = " and measured face geometry of ICT-FaceKit" if self.config.data.geometry else ""
            return f"{len(macro)} macro clips simulated from action units{heads} ({SIMULATED_AU})"
        return f"{len(macro)} synthetic macro clips" if self.stand_in else f"{len(macro)} real macro clips of the data"

    @property
    def mirror_text(self) -> str:
        """How clips are mirrored, in words; empty for the ordinary way, in which a mirror image keeps its label."""
        return mirror_text(self.config.train.mirror, self.prepared.micro.classes)

    @property
    def initial_notes(self) -> tuple[str, ...]:
        """The weights that trainings start from, in words; empty for random ones."""
        initial = self.work.initial
        return () if initial is None else (f"every training starts from {initial.text}",)

    def result(self, rule: str) -> RunResult:
        """The result of this run before it is scored.

        Args:
          rule: how test clips are predicted, in words.
        """
        manifest = self.prepared.manifest
        return RunResult(
            data=DataSource(manifest.dataset, manifest.stand_in, manifest.origin),
            method=self.config.method_name,
            protocol=self.config.protocol,
            title=self.plan.title,
            macro=self.macro_text,
            missing=tuple(self.plan.missing),
            rule="; ".join(part for part in (rule, self.mirror_text) if part),
            notes=(*data_notes(manifest), *self.initial_notes),
        )
