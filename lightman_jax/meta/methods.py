"""Settings of a method, and the table of methods.

With `theta` the initial and `phi` the adapted parameters, `P` the primary and `A` the alignment loss:

    inner   = P(phi; support) + lambda A(phi; support, macro)
    outer   = P(phi; query)   + mu     A(phi; query, macro)
    initial = pre * P(theta; support and query)

`lightman` uses all terms; each other method is defined in `METHODS` by what it changes.
"""

import dataclasses
import warnings
from typing import Any, Literal, get_args

from lightman_jax.checks import is_number
from lightman_jax.losses.alignment import ALIGNMENT_LOSSES, AlignmentForm
from lightman_jax.losses.classification import PRIMARY_FORMS, PrimaryForm
from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.label_generator import GeneratorConfig

AdaptedPart = Literal["all", "heads", "backbone"]
LearnedLR = Literal["none", "scalar", "leaf", "entry"]


@dataclasses.dataclass(frozen=True)
class MethodSpec:
    """What distinguishes a method from `lightman`.

    Attributes:
      aligns: it has an alignment loss; if not, both alignment weights are 0.
      settings: fields of `MethodConfig` that it sets.
      bilevel: fields of `BilevelConfig` that it sets.
      least_inner_steps: smallest number of inner steps.
      displaces: the outer gradient is the displacement by the inner loop (Reptile).
      prototypes: class prototypes of the support replace the primary head (ProtoNet).
      generates_labels: a second network generates the auxiliary labels (MAXL, Liu et al. 2019).
    """

    aligns: bool = False
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    bilevel: dict[str, Any] = dataclasses.field(default_factory=dict)
    least_inner_steps: int = 0
    displaces: bool = False
    prototypes: bool = False
    generates_labels: bool = False

    @property
    def adapts(self) -> bool:
        """Whether trained parameters can be adapted to labelled clips."""
        return not self.generates_labels

    @property
    def splits_tasks(self) -> bool:
        """Whether the tasks of an outer step can be split over devices; a label generator trains on one batch."""
        return not self.generates_labels

    @property
    def embeds(self) -> bool:
        """Whether the auxiliary branch is an embedding; that of a label generator is a classifier."""
        return not self.generates_labels


METHODS: dict[str, MethodSpec] = {
    "lightman": MethodSpec(aligns=True),
    "lightman_fo": MethodSpec(aligns=True, bilevel={"first_order": True}),
    "joint": MethodSpec(bilevel={"inner_steps": 0}),
    "maml": MethodSpec(),
    "fomaml": MethodSpec(bilevel={"first_order": True}),
    "anil": MethodSpec(settings={"adapted": "heads"}),
    # With one inner step, Reptile is joint training.
    "reptile": MethodSpec(least_inner_steps=2, displaces=True),
    "meta_sgd": MethodSpec(settings={"learned_lr": "entry"}),
    "protonet": MethodSpec(settings={"initial_weight": 0.0}, bilevel={"inner_steps": 0}, prototypes=True),
    "generated": MethodSpec(generates_labels=True),
}
"""Every method by its name."""


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """What the inner and the outer loop minimise.

    Attributes:
      bilevel: steps, learning rate and order of the inner loop.
      generator: settings of the MAXL-style label generator.
      name: the method, a key of `METHODS`; set by `method_config`, not by a flag.
      primary: cross_entropy, balanced (weighted by inverse class frequency) or focal.
      focal_gamma: focusing exponent of the focal loss.
      alignment: contrastive, cosine, l2, prototype, triplet, mmd, spatial or temporal.
      temperature: of the forms contrastive, prototype and temporal.
      margin: of the form triplet.
      stop_macro: stop the gradient of the alignment through macro embeddings.
      inner_alignment: lambda, weight of the alignment in the inner loop.
      outer_alignment: mu, weight of the alignment in the outer loop.
      initial_weight: pre, weight of the primary loss before adaptation. Choice: 1, because leave-one-subject-out gives no
        labelled clip of the test subject, and an outer loss after adaptation alone leaves theta itself weak.
      adapted: parameters that the inner loop adapts: all, heads or backbone.
      learned_lr: learn the inner learning rate: none, scalar, one per leaf, or one per entry.
    """

    bilevel: BilevelConfig = dataclasses.field(default_factory=BilevelConfig)
    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    name: str = dataclasses.field(default="lightman", metadata={"flag": False})
    primary: PrimaryForm = "cross_entropy"
    focal_gamma: float = 2.0
    alignment: AlignmentForm = "contrastive"
    temperature: float = 0.1
    margin: float = 0.5
    stop_macro: bool = False
    inner_alignment: float = 0.5
    outer_alignment: float = 0.5
    initial_weight: float = 1.0
    adapted: AdaptedPart = "all"
    learned_lr: LearnedLR = "none"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("method", self.name, METHODS),
            ("primary loss", self.primary, PRIMARY_FORMS),
            ("alignment form", self.alignment, ALIGNMENT_LOSSES),
            ("adapted part", self.adapted, get_args(AdaptedPart)),
            ("learned_lr", self.learned_lr, get_args(LearnedLR)),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")
        if not is_number(self.temperature) or self.temperature == 0:
            raise ValueError(f"temperature {self.temperature} must be above 0; the default is 0.1")
        if not (is_number(self.focal_gamma) and is_number(self.margin)):
            raise ValueError(f"focal_gamma {self.focal_gamma} and margin {self.margin} must be 0 or more")
        if not all(map(is_number, (self.inner_alignment, self.outer_alignment, self.initial_weight))):
            raise ValueError("loss weights must be 0 or more; a negative weight would push classes apart")
        if self.bilevel.first_order and self.inner_alignment > 0 and self.outer_alignment == 0:
            warnings.warn(
                "first_order with outer_alignment 0 gives the auxiliary head exactly zero gradient, so it keeps its initial "
                "values; set outer_alignment above 0, or first_order to false, to train it",
                stacklevel=2,
            )

    @property
    def spec(self) -> MethodSpec:
        """The method's entry in `METHODS`."""
        return METHODS[self.name]


def method_config(method: str, config: MethodConfig) -> MethodConfig:
    """Settings of a named method, starting from `config`.

    Raises:
      ValueError: unknown name.

    >>> method_config("joint", MethodConfig()).bilevel.inner_steps
    0
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose one of {', '.join(METHODS)}")
    spec = METHODS[method]
    steps = max(spec.least_inner_steps, config.bilevel.inner_steps)
    bilevel = dataclasses.replace(config.bilevel, **{"inner_steps": steps, **spec.bilevel})
    changes: dict[str, Any] = {"name": method, "bilevel": bilevel, **spec.settings}
    if not spec.aligns:
        changes |= {"inner_alignment": 0.0, "outer_alignment": 0.0}
    return dataclasses.replace(config, **changes)
