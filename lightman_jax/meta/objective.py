"""Losses of a method on one task."""

import dataclasses

import jax
import jax.numpy as jnp

from lightman_jax.losses.alignment import alignment_loss
from lightman_jax.losses.classification import balanced_weights, focal_loss, keep_where, mean_where, primary_loss
from lightman_jax.losses.pairs import alignment_where
from lightman_jax.meta.bilevel import BilevelProblem, displacement_loss
from lightman_jax.meta.methods import AdaptedPart, MethodConfig
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches, extract_features
from lightman_jax.types import Clips, Metrics, Outputs, Params, Task

_ADAPTED: dict[AdaptedPart, frozenset[str]] = {
    "all": frozenset({"backbone", "primary", "auxiliary"}),
    "heads": frozenset({"primary", "auxiliary"}),
    "backbone": frozenset({"backbone"}),
}
_INPUT_OF_FORM = {"spatial": "maps", "temporal": "frames"}
_ABSENT = -1e9


def method_problem(config: MethodConfig, network: NetworkConfig) -> BilevelProblem:
    """The bi-level problem of a method on a `Task`; the formulas are in `lightman_jax.meta.methods`.

    A term of weight 0 is omitted from the program, including its macro clips; `initial_loss` is None for weight 0. ProtoNet
    classifies the query by the prototypes of the support; Reptile adapts to support and query together. Raises `ValueError` for
    `generated`, which trains two networks.
    """
    if config.spec.generates_labels:
        raise ValueError(f"method {config.name!r} trains two networks; build its update with make_method")
    adapted = adapted_parts(config)

    def inner_loss(params: Params, task: Task) -> tuple[jax.Array, Metrics]:
        clips = pooled_clips(task) if config.spec.displaces else task.support
        return clips_loss(params, clips, task.macro, config.inner_alignment, config, network)

    def outer_loss(params: Params, task: Task) -> tuple[jax.Array, Metrics]:
        if config.spec.prototypes:
            params = params | {"primary": prototype_head(params, task.support, network=network)}
        return clips_loss(params, task.query, task.macro, config.outer_alignment, config, network)

    def initial_loss(params: Params, task: Task) -> tuple[jax.Array, Metrics]:
        value, metrics = clips_loss(params, pooled_clips(task), None, 0, config, network)
        return config.initial_weight * value, metrics

    if config.spec.displaces:
        reptile = displacement_loss(inner_loss, config.bilevel, adapted=adapted)
        return BilevelProblem(reptile, reptile, dataclasses.replace(config.bilevel, inner_steps=0))
    initial = initial_loss if config.initial_weight > 0 else None
    return BilevelProblem(inner_loss, outer_loss, config.bilevel, initial, adapted=adapted)


def clips_loss(
    params: Params, clips: Clips, macro: Clips | None, weight: float, config: MethodConfig, network: NetworkConfig
) -> tuple[jax.Array, Metrics]:
    """Primary loss of a set of clips, plus `weight` times the alignment loss with macro clips; None has no alignment."""
    if macro is None or weight == 0:
        (outputs,) = _outputs(params, network, clips)
        primary = _primary(config, outputs, clips)
        return primary, {"primary_loss": primary}
    micro_outputs, macro_outputs = _outputs(params, network, clips, macro)
    primary = _primary(config, micro_outputs, clips)
    aligned = _alignment(config, micro_outputs, clips, macro_outputs, macro)
    return primary + weight * aligned, {"primary_loss": primary, "alignment_loss": aligned}


def views_loss(
    params: Params, clips: Clips, others: Clips, config: MethodConfig, network: NetworkConfig
) -> tuple[jax.Array, Metrics]:
    """The alignment term of the inner loop between clips and other views of the same movements, which needs no labels."""
    outputs, other_outputs = _outputs(params, network, clips, others)
    aligned = _alignment(config, outputs, clips, other_outputs, others)
    return config.inner_alignment * aligned, {"alignment_loss": aligned}


def _primary(config: MethodConfig, outputs: Outputs, clips: Clips) -> jax.Array:
    where, weights = clips.where, None
    if config.primary == "focal":
        values = focal_loss(outputs.logits, clips.label, gamma=config.focal_gamma, where=where)
    else:
        if config.primary == "balanced":
            weights = balanced_weights(clips.label, outputs.logits.shape[1], where=where)
        values = primary_loss(outputs.logits, clips.label, where=where, class_weights=weights)
    return mean_where(values, where)


def _alignment(config: MethodConfig, micro: Outputs, clips: Clips, macro: Outputs, macro_clips: Clips) -> jax.Array:
    label, macro_label, macro_where = clips.label, macro_clips.label, macro_clips.where
    if clips.movement is not None and macro_clips.movement is not None:
        # Views of other movements than those of the clips are left out: the inner loop does not see the query.
        label, macro_label = clips.movement, macro_clips.movement
        macro_where = macro_where & (macro_label[:, None] == label[None, :]).any(axis=1)
    masks = {"where": clips.where, "macro_where": macro_where}
    compared = _INPUT_OF_FORM.get(config.alignment, "embedding")
    values = alignment_loss(
        getattr(micro, compared),
        label,
        getattr(macro, compared),
        macro_label,
        form=config.alignment,
        temperature=config.temperature,
        margin=config.margin,
        stop_macro=config.stop_macro,
        **masks,
    )
    return mean_where(values, alignment_where(label, macro_label, **masks))


def _outputs(params: Params, network: NetworkConfig, *sets: Clips) -> list[Outputs]:
    """Outputs of each set; in one pass, unless batch normalisation would mix micro and macro clips."""
    if network.normalisation == "batch":
        return [apply_branches(params, s.image, config=network, where=s.where) for s in sets]
    outputs = apply_branches(params, jnp.concatenate([s.image for s in sets]), config=network)
    ends = [sum(s.label.shape[0] for s in sets[: k + 1]) for k in range(len(sets))]
    return [
        jax.tree.map(lambda x, b=end, n=s.label.shape[0]: x[b - n : b], outputs)
        for s, end in zip(sets, ends, strict=True)
    ]


def adapted_parts(config: MethodConfig) -> dict[str, bool]:
    """Which parts of the dual branch the inner loop adapts, in the form of `adapt`.

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
      network: sizes of the dual branch.

    Returns:
      `{"kernel": [D, N] = 2 c, "bias": [N] = -|c|^2}`; a class without a clip gets a bias far below all others.

    Reference: Snell et al. 2017, "Prototypical Networks for Few-shot Learning", equation 8.
    """
    return _head_of_sums(*_class_sums(params, clips, network))


def block_prototype_head(params: Params, clips: Clips, *, network: NetworkConfig) -> Params:
    """`prototype_head` of clips in blocks, `[B, K, ...]`, of which one block is in memory at a time."""
    sums, count = jax.lax.map(lambda own: _class_sums(params, own, network), clips)
    return _head_of_sums(sums.sum(axis=0), count.sum(axis=0))


def _class_sums(params: Params, clips: Clips, network: NetworkConfig) -> tuple[jax.Array, jax.Array]:
    """Sum of the features `[N, D]` and number of clips `[N]` of each class."""
    features, _ = extract_features(params, clips.image, config=network, where=clips.where)
    features = keep_where(features.mean(axis=1), clips.where)
    classes = params["primary"]["bias"].shape[0]
    one_hot = keep_where(jax.nn.one_hot(clips.label, classes, dtype=features.dtype), clips.where)
    return one_hot.T @ features, one_hot.sum(axis=0)


def _head_of_sums(sums: jax.Array, count: jax.Array) -> Params:
    centres = sums / jnp.maximum(count, 1)[:, None]
    bias = jnp.where(count > 0, -jnp.square(centres).sum(axis=1), jnp.asarray(_ABSENT, sums.dtype))
    return {"kernel": 2 * centres.T, "bias": bias}
