"""Settings of a training: how tasks are drawn, and how one fold is trained."""

import dataclasses
from typing import Literal, get_args

from lightman_jax.meta.methods import MethodConfig
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import SCALINGS, Scaling

MacroLabels = Literal["true", "shuffled"]


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """How a task is drawn.

    Attributes:
      shots: support clips a class, and as many query clips a class.
      macro_shots: macro clips a class.
      meta_batch_size: T, tasks per outer step.
    """

    shots: int = 5
    macro_shots: int = 3
    meta_batch_size: int = 2

    def __post_init__(self) -> None:
        for name in ("shots", "macro_shots", "meta_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"task {name} is {getattr(self, name)}; choose 1 or more")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How one fold is trained.

    Attributes:
      method: what the two levels minimise.
      network: sizes of the dual branch.
      task: how tasks are drawn.
      steps: outer steps, fixed in advance (400 overfit on the public flow).
      learning_rate: AdamW's rate, decayed by a cosine to 0.
      weight_decay: AdamW's decay.
      scaling: `clip_rms`, `fold_rms` or `clip_minmax`.
      macro_gain: magnification of the pseudo-macro clips, used where no macro corpus is given.
      macro_labels: true, or shuffled over the fold's training macro clips: the control that shows what the labels add.
      skip_nonfinite: leave out an update that is not finite, instead of stopping.
    """

    method: MethodConfig = dataclasses.field(default_factory=MethodConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
    steps: int = 100
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    scaling: Scaling = "clip_rms"
    macro_gain: float = 3.0
    macro_labels: MacroLabels = "true"
    skip_nonfinite: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps {self.steps} trains nothing; choose 1 or more, 100 is usual")
        if self.learning_rate <= 0 or self.macro_gain <= 0:
            raise ValueError(
                f"learning_rate {self.learning_rate} and macro_gain {self.macro_gain} must both be above 0"
            )
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay {self.weight_decay} is negative; choose 0 or more")
        if self.macro_labels not in get_args(MacroLabels):
            raise ValueError(f"macro_labels {self.macro_labels!r} is unknown; choose true or shuffled")
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling {self.scaling!r} is unknown; choose one of {', '.join(SCALINGS)}")
