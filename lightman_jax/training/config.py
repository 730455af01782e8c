"""Settings of the training of one fold."""

import dataclasses
from typing import Literal, get_args

from lightman_jax.checks import is_count, is_number
from lightman_jax.meta.methods import MethodConfig
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import SCALINGS, Channels, Scaling
from lightman_jax.training.augmentation import AugmentConfig
from lightman_jax.training.mirroring import check_mirror

MacroLabels = Literal["true", "shuffled"]
Auxiliary = Literal["auto", "macro", "views", "magnified"]


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """Size of a task.

    Attributes:
      shots: support clips per class, and query clips per class.
      macro_shots: macro clips per class.
      meta_batch_size: T, tasks per outer step.
      labelled_macro: n0, number of micro clips per class that the macro clips count as when they are labelled clips as well: a
        support or query clip is a macro clip of its class with probability n0 / (n0 + n), n the micro training clips of the class;
        0: macro clips are only aligned with. Choice: 0, since only simulated macro clips were measured. With these, 20 adds .08 UF1
        at 5% of 309 real clips and .01 with all, alignment alone .04 and .00; as many as they are, they cost .01 with all.
    """

    shots: int = 5
    macro_shots: int = 3
    meta_batch_size: int = 2
    labelled_macro: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shots", "macro_shots", "meta_batch_size"):
            if not is_count(getattr(self, name)):
                raise ValueError(f"task {name} is {getattr(self, name)}; choose 1 or more")
        if not is_number(self.labelled_macro):
            raise ValueError(f"task labelled_macro is {self.labelled_macro}; choose 0 (off) or more, such as 20")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of the training of one fold.

    Attributes:
      method: losses and inner loop.
      network: sizes of the dual branch.
      task: size of a task.
      steps: outer steps, fixed in advance (400 overfit on the public flow).
      learning_rate: learning rate of AdamW in the outer loop, with a cosine decay to 0.
      weight_decay: weight decay of AdamW.
      augment: random changes of training clips.
      channels: what the channels of the images are: flow, grey or rgb; a run takes them from its data, auto from their number.
      scaling: clip_rms, fold_rms or clip_minmax, statistics of the clips; or imagenet, for colour images and pretrained weights.
      mirror: auto (training clips are mirrored at random and predictions averaged over mirror images, unless a class name holds a
        side of the face, such as left, l_smirk or AU12L), off, or pairs of classes that are each other's mirror image, such as
        left:right.
      auxiliary: what the auxiliary branch aligns micro clips with: macro (clips of a macro corpus), views (other views of the same
        movements), magnified (pseudo-macro clips, magnified micro clips), or auto: macro if the data have macro clips, else
        magnified.
      view_dropout: probability that a view of a training clip is left out of a step, if the clip has another one.
      init: weights that every training starts from: a safetensors file in the names of torchvision or timm (resnet18, vgg16, vgg19,
        with and without _bn), the workdir of a run, one of its checkpoints, or an exported model file; empty for random weights.
      init_digest: SHA-256 of that file; set by `model.initial.initial_weights`, not by a flag.
      macro_gain: gain of the pseudo-macro clips that replace a missing macro corpus.
      macro_labels: true, or shuffled over the fold's macro training clips, a control for the effect of the labels.
      skip_nonfinite: skip an update that is not finite instead of stopping.
    """

    method: MethodConfig = dataclasses.field(default_factory=MethodConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    channels: Channels = dataclasses.field(default="auto", metadata={"flag": False})
    steps: int = 100
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    scaling: Scaling = "clip_rms"
    mirror: str = "auto"
    auxiliary: Auxiliary = "auto"
    view_dropout: float = 0.0
    init: str = ""
    init_digest: str = dataclasses.field(default="", metadata={"flag": False})
    macro_gain: float = 3.0
    macro_labels: MacroLabels = "true"
    skip_nonfinite: bool = False

    def __post_init__(self) -> None:
        if not is_count(self.steps):
            raise ValueError(f"steps {self.steps} trains nothing; choose 1 or more (default: 100)")
        if not all(is_number(value) and value > 0 for value in (self.learning_rate, self.macro_gain)):
            raise ValueError(
                f"learning_rate {self.learning_rate} and macro_gain {self.macro_gain} must both be above 0"
            )
        if not is_number(self.weight_decay):
            raise ValueError(f"weight_decay {self.weight_decay} is negative or not finite; choose 0 or more")
        if not is_number(self.view_dropout) or self.view_dropout >= 1:
            raise ValueError(f"view_dropout {self.view_dropout} is no probability below 1; choose 0 to 0.9")
        if self.auxiliary not in get_args(Auxiliary):
            raise ValueError(f"auxiliary {self.auxiliary!r} is unknown; choose one of {', '.join(get_args(Auxiliary))}")
        if self.macro_labels not in get_args(MacroLabels):
            raise ValueError(f"macro_labels {self.macro_labels!r} is unknown; choose true or shuffled")
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling {self.scaling!r} is unknown; choose one of {', '.join(SCALINGS)}")
        if self.channels not in get_args(Channels):
            raise ValueError(f"channels {self.channels!r} are unknown; choose one of {', '.join(get_args(Channels))}")
        if self.channels == "flow":
            self.augment.refuse_flow()
        if self.scaling == "imagenet" and self.channels not in ("auto", "rgb"):
            raise ValueError(
                f"scaling imagenet is for colour images, these are {self.channels}; choose --representation=apex --colour=rgb, or "
                "--scaling=clip_rms"
            )
        check_mirror(self.mirror)

    def aligned_with(self, *, has_macro: bool) -> Auxiliary:
        """What the auxiliary branch aligns with, for data with or without macro clips: `auxiliary`, or the choice of `auto`.

        Raises:
          ValueError: macro or labelled macro clips without macro clips, or views of clips with a single view.
        """
        if self.task.labelled_macro > 0 and not (has_macro and self.auxiliary in ("auto", "macro")):
            raise ValueError(
                f"labelled_macro {self.task.labelled_macro:g} needs macro clips, and "
                + (
                    f"auxiliary {self.auxiliary} does not use them"
                    if has_macro
                    else "the data have none; add --macro=NAME"
                )
                + ", or set labelled_macro to 0"
            )
        if self.auxiliary == "macro" and not has_macro:
            raise ValueError(
                "auxiliary macro needs macro clips, and the data have none; add --macro=NAME, or choose views or magnified"
            )
        if self.auxiliary == "views" and self.network.view_units == 1:
            remedy = (
                "the data have one; add --views=farneback_rise,dis_rise, give a second flow release"
                if self.network.views == 1
                else f"{self.network.view_network} makes one image of the views of the data; add --view_network=separate"
            )
            raise ValueError(
                f"auxiliary views needs clips with several views, and {remedy}, or choose macro or magnified"
            )
        if self.auxiliary == "auto":
            return "macro" if has_macro else "magnified"
        return self.auxiliary
