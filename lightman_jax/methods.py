"""LightmanNet and its relatives as settings of one bi-level update.

With `theta` the initial and `phi` the adapted parameters, `P` the primary and `A` the alignment loss:

    inner   = P(phi; support) + lambda A(phi; support, macro)
    outer   = P(phi; query)   + mu     A(phi; query, macro)
    initial = pre * P(theta; support and query)

`lightman` uses all of it; `maml` has lambda = mu = 0; `joint` has no inner step besides.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import optax

from lightman_jax.bilevel import BilevelConfig, make_update
from lightman_jax.branches import NetworkConfig, apply_branches
from lightman_jax.losses import (
    ALIGNMENT_FORMS,
    PRIMARY_FORMS,
    AlignmentForm,
    PrimaryForm,
    alignment_loss,
    alignment_where,
    focal_loss,
    mean_where,
    primary_loss,
)
from lightman_jax.types import Clips, LossFn, Metrics, Outputs, Params, Task, TrainState

Method = Literal["lightman", "maml", "joint"]


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """What the two levels minimise.

    Attributes:
      bilevel: steps, rate and order of level one.
      primary: `cross_entropy` or `focal`.
      focal_gamma: focus of the focal form.
      alignment: `contrastive` or `cosine`.
      temperature: of the contrastive form.
      stop_macro: hold macro embeddings fixed in the alignment.
      inner_alignment: lambda, weight of the alignment in level one.
      outer_alignment: mu, weight of the alignment in level two.
      initial_weight: pre, weight of the primary loss before adaptation. Choice: 1, because leave-one-subject-out has no
        labelled clip of the test subject to adapt on, and an outer loss after adaptation alone leaves theta itself weak.
    """

    bilevel: BilevelConfig = dataclasses.field(default_factory=BilevelConfig)
    primary: PrimaryForm = "cross_entropy"
    focal_gamma: float = 2.0
    alignment: AlignmentForm = "contrastive"
    temperature: float = 0.1
    stop_macro: bool = False
    inner_alignment: float = 0.5
    outer_alignment: float = 0.5
    initial_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.primary not in PRIMARY_FORMS:
            raise ValueError(f"primary loss {self.primary!r} is unknown; choose one of {', '.join(PRIMARY_FORMS)}")
        if self.alignment not in ALIGNMENT_FORMS:
            raise ValueError(
                f"alignment form {self.alignment!r} is unknown; choose one of {', '.join(ALIGNMENT_FORMS)}"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature {self.temperature} must be above 0; 0.1 is usual")
        if min(self.inner_alignment, self.outer_alignment, self.initial_weight) < 0:
            raise ValueError("loss weights must be 0 or more; a negative weight would push classes apart")
        if self.bilevel.first_order and self.inner_alignment > 0 and self.outer_alignment == 0:
            warnings.warn(
                "first order with outer_alignment 0 gives the auxiliary head exactly zero gradient: it stays as drawn; "
                "set outer_alignment above 0, or first_order to false, to train it",
                stacklevel=2,
            )


METHODS: dict[Method, Callable[[MethodConfig], MethodConfig]] = {
    "lightman": lambda config: config,
    "maml": lambda config: dataclasses.replace(config, inner_alignment=0.0, outer_alignment=0.0),
    "joint": lambda config: dataclasses.replace(
        config,
        inner_alignment=0.0,
        outer_alignment=0.0,
        bilevel=dataclasses.replace(config.bilevel, inner_steps=0),
    ),
}
"""Each method as what it changes in a `MethodConfig`."""


def method_config(method: str, config: MethodConfig) -> MethodConfig:
    """Settings of a named method, starting from `config`.

    Raises:
      ValueError: unknown name.

    >>> method_config("joint", MethodConfig()).bilevel.inner_steps
    0
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose one of {', '.join(METHODS)}")
    return METHODS[method](config)


def method_losses(config: MethodConfig, network: NetworkConfig) -> tuple[LossFn, LossFn, LossFn | None]:
    """The three losses of one task, `(inner_loss, outer_loss, initial_loss)`, as the module's text writes them.

    A weight of 0 leaves its term out of the program, macro clips included; `initial_loss` is None for weight 0.

    Args:
      config: forms and weights.
      network: the dual branch the losses look through.

    Returns:
      Functions `loss(params, task) -> (scalar, metrics)` on a `Task`.
    """

    def recognise(outputs: Outputs, clips: Clips) -> Any:
        if config.primary == "focal":
            values = focal_loss(outputs.logits, clips.label, gamma=config.focal_gamma, where=clips.where)
        else:
            values = primary_loss(outputs.logits, clips.label, where=clips.where)
        return mean_where(values, clips.where)

    def align(micro: Any, clips: Clips, macro_embedding: Any, macro: Clips) -> Any:
        masks = {"where": clips.where, "macro_where": macro.where}
        values = alignment_loss(
            micro,
            clips.label,
            macro_embedding,
            macro.label,
            form=config.alignment,
            temperature=config.temperature,
            stop_macro=config.stop_macro,
            **masks,
        )
        return mean_where(values, alignment_where(clips.label, macro.label, **masks))

    def both(params: Params, clips: Clips, macro: Clips, weight: float) -> tuple[Any, Metrics]:
        count = clips.label.shape[0]
        images = clips.image if weight == 0 else jnp.concatenate([clips.image, macro.image])
        outputs = apply_branches(params, images, config=network)
        micro = Outputs(logits=outputs.logits[:count], embedding=outputs.embedding[:count])
        primary = recognise(micro, clips)
        if weight == 0:
            return primary, {"primary_loss": primary}
        aligned = align(micro.embedding, clips, outputs.embedding[count:], macro)
        return primary + weight * aligned, {"primary_loss": primary, "alignment_loss": aligned}

    def inner_loss(params: Params, task: Task) -> tuple[Any, Metrics]:
        return both(params, task.support, task.macro, config.inner_alignment)

    def outer_loss(params: Params, task: Task) -> tuple[Any, Metrics]:
        return both(params, task.query, task.macro, config.outer_alignment)

    def initial_loss(params: Params, task: Task) -> tuple[Any, Metrics]:
        pooled = Clips(
            image=jnp.concatenate([task.support.image, task.query.image]),
            label=jnp.concatenate([task.support.label, task.query.label]),
            where=jnp.concatenate([task.support.where, task.query.where]),
        )
        primary = recognise(apply_branches(params, pooled.image, config=network), pooled)
        return config.initial_weight * primary, {"primary_loss": primary}

    return inner_loss, outer_loss, initial_loss if config.initial_weight > 0 else None


def method_update(
    config: MethodConfig, network: NetworkConfig, outer_optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Task], tuple[TrainState, Metrics]]:
    """One outer step of a method, `update(state, tasks) -> (state, metrics)`.

    Args:
      config: from `method_config`.
      network: sizes of the dual branch.
      outer_optimizer: any optax transformation.

    Returns:
      A pure function of a `TrainState` and a `Task` with leading axis T.

    Reference: arXiv 2404.12024 (abstract), level one and level two.
    """
    inner_loss, outer_loss, initial_loss = method_losses(config, network)
    build = functools.partial(make_update, outer_optimizer=outer_optimizer, config=config.bilevel)
    return build(inner_loss=inner_loss, outer_loss=outer_loss, initial_loss=initial_loss)
