"""LightmanNet and its relatives as settings of one bi-level update.

With `theta` the initial and `phi` the adapted parameters, `P` the primary and `A` the alignment loss:

    inner   = P(phi; support) + lambda A(phi; support, macro)
    outer   = P(phi; query)   + mu     A(phi; query, macro)
    initial = pre * P(theta; support and query)

`lightman` uses all of it. `METHODS` says in a line each what the relatives change.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from lightman_jax.losses.alignment import ALIGNMENT_FORMS, AlignmentForm, alignment_loss, alignment_where
from lightman_jax.losses.classification import (
    PRIMARY_FORMS,
    PrimaryForm,
    balanced_weights,
    focal_loss,
    keep_where,
    mean_where,
    primary_loss,
)
from lightman_jax.meta.bilevel import displacement_loss, make_update
from lightman_jax.meta.inner_loop import BilevelConfig, LearnedLRParams, initial_params, learn_inner_lr
from lightman_jax.meta.label_generator import (
    GeneratorConfig,
    generated_logits,
    init_generated,
    init_generated_state,
    make_generator_update,
    published_optimizers,
)
from lightman_jax.networks.dual_branch import (
    NetworkConfig,
    apply_branches,
    branch_statistics,
    extract_features,
    init_params,
)
from lightman_jax.types import Clips, LossFn, Metrics, Outputs, Params, Task, TrainState

MethodName = Literal[
    "lightman",
    "lightman_fo",
    "joint",
    "maml",
    "fomaml",
    "anil",
    "reptile",
    "meta_sgd",
    "protonet",
    "generated",
]
Variant = Literal["alignment", "displacement", "prototype", "generated"]
AdaptedPart = Literal["all", "heads", "backbone"]
LearnedLR = Literal["none", "scalar", "leaf", "entry"]

_ADAPTED: dict[AdaptedPart, frozenset[str]] = {
    "all": frozenset({"backbone", "primary", "auxiliary"}),
    "heads": frozenset({"primary", "auxiliary"}),
    "backbone": frozenset({"backbone"}),
}
_INPUT_OF_FORM = {"spatial": "maps", "temporal": "frames"}
_ABSENT = -1e9


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """What the two levels minimise.

    Attributes:
      bilevel: steps, rate and order of level one.
      generator: of the variant generated.
      variant: alignment (the two losses above), displacement (Reptile), prototype (ProtoNet) or generated; set by the method.
      primary: cross_entropy, balanced (weighted by inverse class frequency) or focal.
      focal_gamma: focus of the focal form.
      alignment: contrastive, cosine, l2, prototype, triplet, mmd, spatial or temporal.
      temperature: of the forms contrastive, prototype and temporal.
      margin: of the triplet form.
      stop_macro: hold macro embeddings fixed in the alignment.
      inner_alignment: lambda, weight of the alignment in level one.
      outer_alignment: mu, weight of the alignment in level two.
      initial_weight: pre, weight of the primary loss before adaptation. Choice: 1, because leave-one-subject-out has no
        labelled clip of the test subject to adapt on, and an outer loss after adaptation alone leaves theta itself weak.
      adapted: what level one moves: all, heads or backbone.
      learned_lr: learn the inner rate: none, scalar, one a leaf, or one an entry.
    """

    bilevel: BilevelConfig = dataclasses.field(default_factory=BilevelConfig)
    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    variant: Variant = "alignment"
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
            ("variant", self.variant, get_args(Variant)),
            ("primary loss", self.primary, PRIMARY_FORMS),
            ("alignment form", self.alignment, ALIGNMENT_FORMS),
            ("adapted part", self.adapted, get_args(AdaptedPart)),
            ("learnt rate", self.learned_lr, get_args(LearnedLR)),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")
        if self.temperature <= 0:
            raise ValueError(f"temperature {self.temperature} must be above 0; 0.1 is usual")
        if self.focal_gamma < 0 or self.margin < 0:
            raise ValueError(f"focal_gamma {self.focal_gamma} and margin {self.margin} must be 0 or more")
        if min(self.inner_alignment, self.outer_alignment, self.initial_weight) < 0:
            raise ValueError("loss weights must be 0 or more; a negative weight would push classes apart")
        if self.bilevel.first_order and self.inner_alignment > 0 and self.outer_alignment == 0:
            warnings.warn(
                "first order with outer_alignment 0 gives the auxiliary head exactly zero gradient: it stays as drawn; "
                "set outer_alignment above 0, or first_order to false, to train it",
                stacklevel=2,
            )


def _changed(config: MethodConfig, *, bilevel_changes: dict[str, Any] | None = None, **changes: Any) -> MethodConfig:
    """Settings without alignment, with `bilevel_changes` changes in its bi-level part."""
    settings: dict[str, Any] = {"inner_alignment": 0.0, "outer_alignment": 0.0, **changes}
    return dataclasses.replace(
        config, bilevel=dataclasses.replace(config.bilevel, **(bilevel_changes or {})), **settings
    )


METHODS: dict[MethodName, Callable[[MethodConfig], MethodConfig]] = {
    "lightman": lambda config: config,
    "lightman_fo": lambda config: dataclasses.replace(
        config, bilevel=dataclasses.replace(config.bilevel, first_order=True)
    ),
    "joint": lambda config: _changed(config, bilevel_changes={"inner_steps": 0}),
    "maml": _changed,
    "fomaml": lambda config: _changed(config, bilevel_changes={"first_order": True}),
    "anil": lambda config: _changed(config, adapted="heads"),
    # With one inner step Reptile is joint training.
    "reptile": lambda config: _changed(
        config, variant="displacement", bilevel_changes={"inner_steps": max(2, config.bilevel.inner_steps)}
    ),
    "meta_sgd": lambda config: _changed(config, learned_lr="entry"),
    "protonet": lambda config: _changed(
        config, variant="prototype", initial_weight=0.0, bilevel_changes={"inner_steps": 0}
    ),
    "generated": lambda config: _changed(config, variant="generated"),
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


class MethodLosses(NamedTuple):
    """The losses of one task, each `loss(params, task) -> (scalar, metrics)` on a `Task`; `initial_loss` may be absent."""

    inner_loss: LossFn
    outer_loss: LossFn
    initial_loss: LossFn | None


def method_losses(config: MethodConfig, network: NetworkConfig, *, align_inner: bool = True) -> MethodLosses:
    """The three losses of one task, as the module's text writes them.

    A weight of 0 leaves its term out of the program, macro clips included; `initial_loss` is None for weight 0. The variant
    `prototype` judges the query by the prototypes of the support; `displacement` adapts on support and query together.

    Args:
      config: forms and weights.
      network: the dual branch the losses look through.
      align_inner: False leaves the alignment out of level one, for a task without macro clips.

    Returns:
      `MethodLosses`.
    """

    def recognise(outputs: Outputs, clips: Clips) -> jax.Array:
        where, weights = clips.where, None
        if config.primary == "focal":
            values = focal_loss(outputs.logits, clips.label, gamma=config.focal_gamma, where=where)
        else:
            if config.primary == "balanced":
                weights = balanced_weights(clips.label, outputs.logits.shape[1], where=where)
            values = primary_loss(outputs.logits, clips.label, where=where, class_weights=weights)
        return mean_where(values, where)

    def align(micro: Outputs, clips: Clips, macro: Outputs, macro_clips: Clips) -> jax.Array:
        masks = {"where": clips.where, "macro_where": macro_clips.where}
        compared = _INPUT_OF_FORM.get(config.alignment, "embedding")
        values = alignment_loss(
            getattr(micro, compared),
            clips.label,
            getattr(macro, compared),
            macro_clips.label,
            form=config.alignment,
            temperature=config.temperature,
            margin=config.margin,
            stop_macro=config.stop_macro,
            **masks,
        )
        return mean_where(values, alignment_where(clips.label, macro_clips.label, **masks))

    def look(params: Params, *sets: Clips) -> list[Outputs]:
        """Outputs of each set; in one pass, unless batch moments would mix micro and macro clips."""
        if network.normalisation == "batch":
            return [apply_branches(params, s.image, config=network, where=s.where) for s in sets]
        outputs = apply_branches(params, jnp.concatenate([s.image for s in sets]), config=network)
        ends = [sum(s.label.shape[0] for s in sets[: k + 1]) for k in range(len(sets))]
        return [
            jax.tree.map(lambda x, b=end, n=s.label.shape[0]: x[b - n : b], outputs)
            for s, end in zip(sets, ends, strict=True)
        ]

    def both(params: Params, clips: Clips, macro: Clips, weight: float) -> tuple[jax.Array, Metrics]:
        if weight == 0:
            (outputs,) = look(params, clips)
            primary = recognise(outputs, clips)
            return primary, {"primary_loss": primary}
        micro_outputs, macro_outputs = look(params, clips, macro)
        primary, aligned = recognise(micro_outputs, clips), align(micro_outputs, clips, macro_outputs, macro)
        return primary + weight * aligned, {"primary_loss": primary, "alignment_loss": aligned}

    def inner_loss(params: Params, task: Task) -> tuple[jax.Array, Metrics]:
        clips = pooled_clips(task) if config.variant == "displacement" else task.support
        return both(params, clips, task.macro, config.inner_alignment if align_inner else 0)

    def outer_loss(params: Params, task: Task) -> tuple[jax.Array, Metrics]:
        if config.variant == "prototype":
            params = params | {"primary": prototype_head(params, task.support, network=network)}
        return both(params, task.query, task.macro, config.outer_alignment)

    def initial_loss(params: Params, task: Task) -> tuple[jax.Array, Metrics]:
        value, metrics = both(params, pooled_clips(task), task.macro, 0)
        return config.initial_weight * value, metrics

    return MethodLosses(inner_loss, outer_loss, initial_loss if config.initial_weight > 0 else None)


def adapted_parts(config: MethodConfig) -> dict[str, bool]:
    """Which parts of the dual branch level one moves, as `adapt` takes it.

    >>> adapted_parts(MethodConfig(adapted="backbone"))["primary"]
    False
    """
    return {name: name in _ADAPTED[config.adapted] for name in sorted(_ADAPTED["all"])}


def pooled_clips(task: Task) -> Clips:
    """Support and query clips of a task as one set."""
    return jax.tree.map(lambda s, q: jnp.concatenate([s, q]), task.support, task.query)


def prototype_head(params: Params, clips: Clips, *, network: NetworkConfig) -> Params:
    """The primary head in closed form: logits `-|f(x) - c_k|^2` up to a term without k, `c_k` the mean feature of class k.

    Args:
      params: of the dual branch; the number of classes is that of its primary head.
      clips: labelled clips, of a support set or of a whole training pool.
      network: the dual branch.

    Returns:
      `{"kernel": [D, N] = 2 c, "bias": [N] = -|c|^2}`; a class without a clip gets a bias far below all others.

    Reference: Snell et al. 2017, "Prototypical Networks for Few-shot Learning", equation 8.
    """
    features, _ = extract_features(params, clips.image, config=network, where=clips.where)
    features = keep_where(features.mean(axis=1), clips.where)
    classes = params["primary"]["bias"].shape[0]
    member = keep_where(jax.nn.one_hot(clips.label, classes, dtype=features.dtype), clips.where)
    count = member.sum(axis=0)
    centres = (member.T @ features) / jnp.maximum(count, 1)[:, None]
    bias = jnp.where(count > 0, -jnp.square(centres).sum(axis=1), jnp.asarray(_ABSENT, features.dtype))
    return {"kernel": 2 * centres.T, "bias": bias}


class Method(NamedTuple):
    """What training and testing need of a method.

    `init(key, image_shape, classes, dtype=float32) -> TrainState`; `update(state, tasks) -> (state, metrics)`;
    `finish(state, clips) -> params` fits what is fitted once on all training clips (prototypes, batch moments);
    `logits(params, images) -> [n, N]`.
    """

    init: Callable[..., TrainState]
    update: Callable[[TrainState, Task], tuple[TrainState, Metrics]]
    finish: Callable[[TrainState, Clips], Params]
    logits: Callable[[Params, jax.Array], jax.Array]


def make_method(
    config: MethodConfig,
    network: NetworkConfig,
    outer_optimizer: optax.GradientTransformation,
    *,
    steps: int = 100,
    mesh: Mesh | None = None,
) -> Method:
    """Everything training and testing need of a method.

    Args:
      config: from `method_config`.
      network: sizes of the dual branch.
      outer_optimizer: any optax transformation.
      steps: of the whole training; only the published schedule of `generated` asks for it.
      mesh: devices over which the tasks of a step are split, see `meta_gradient`; `generated`, whose batch is one, does not.

    Returns:
      A `Method`.
    """
    if config.variant == "generated":
        return _generated_method(config, network, outer_optimizer, steps)

    def init(key: jax.Array, image_shape: tuple[int, ...], classes: int, dtype: DTypeLike = jnp.float32) -> TrainState:
        params = init_params(key, config=network, image_shape=image_shape, classes=classes, dtype=dtype)
        return init_state(params, config, outer_optimizer)

    def finish(state: TrainState, clips: Clips) -> Params:
        params = initial_params(state.params)
        if network.normalisation == "batch":
            statistics = branch_statistics(params, clips.image, config=network, where=clips.where)
            params = params | {"statistics": statistics}
        if config.variant == "prototype":
            params = params | {"primary": prototype_head(params, clips, network=network)}
        return LearnedLRParams(params, state.params.inner_lr) if isinstance(state.params, LearnedLRParams) else params

    def logits(params: Params, images: jax.Array) -> jax.Array:
        return apply_branches(initial_params(params), images, config=network).logits

    return Method(init, method_update(config, network, outer_optimizer, mesh), finish, logits)


def init_state(params: Params, config: MethodConfig, outer_optimizer: optax.GradientTransformation) -> TrainState:
    """`TrainState` at step 0, with inner rates beside the parameters where the method learns them."""
    if config.learned_lr != "none":
        params = learn_inner_lr(params, config.bilevel.inner_lr, each=config.learned_lr)
    return TrainState(params=params, opt_state=outer_optimizer.init(params), step=jnp.int32(0))


def method_update(
    config: MethodConfig,
    network: NetworkConfig,
    outer_optimizer: optax.GradientTransformation,
    mesh: Mesh | None = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """One outer step of a method, `update(state, tasks) -> (state, metrics)`.

    Args:
      config: from `method_config`; every variant but `generated`, whose step is `make_generator_update`.
      network: sizes of the dual branch.
      outer_optimizer: any optax transformation.
      mesh: see `meta_gradient`.

    Returns:
      A pure function of a `TrainState` and a `Task` with leading axis T.

    Raises:
      ValueError: the variant `generated`.

    Reference: arXiv 2404.12024 (abstract), level one and level two.
    """
    if config.variant == "generated":
        raise ValueError("the variant 'generated' has two networks; build its step by make_method")
    losses = method_losses(config, network)
    adapted = adapted_parts(config)
    if config.variant == "displacement":
        pull = displacement_loss(losses.inner_loss, config.bilevel, adapted=adapted)
        plain = dataclasses.replace(config.bilevel, inner_steps=0)
        return make_update(inner_loss=pull, outer_loss=pull, outer_optimizer=outer_optimizer, config=plain, mesh=mesh)
    return make_update(
        **losses._asdict(), outer_optimizer=outer_optimizer, config=config.bilevel, adapted=adapted, mesh=mesh
    )


def _generated_method(
    config: MethodConfig, network: NetworkConfig, outer_optimizer: optax.GradientTransformation, steps: int
) -> Method:
    rate: optax.Schedule | float = config.bilevel.inner_lr
    first = second = outer_optimizer
    if config.generator.published_optimizers:
        first, second, rate = published_optimizers(steps)
    step = make_generator_update(
        network=network,
        config=config.generator,
        network_optimizer=first,
        generator_optimizer=second,
        virtual_lr=rate,
    )

    def init(key: jax.Array, image_shape: tuple[int, ...], classes: int, dtype: DTypeLike = jnp.float32) -> TrainState:
        sizes: dict[str, Any] = {"image_shape": image_shape, "classes": classes, "dtype": dtype}
        params = init_generated(key, network=network, config=config.generator, **sizes)
        return init_generated_state(params, first, second)

    def update(state: TrainState, tasks: Task) -> tuple[TrainState, Metrics]:
        batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.vmap(pooled_clips)(tasks))
        return step(state, batch)

    def logits(params: Params, images: jax.Array) -> jax.Array:
        return generated_logits(params, images, network=network)

    return Method(init, update, lambda state, _: state.params, logits)
