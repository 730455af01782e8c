"""Prediction, saliency and adaptation by all networks of a run."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lightman_jax.checks import as_labels, transferring
from lightman_jax.meta.adaptation import adapt_and_predict
from lightman_jax.meta.inner_loop import initial_params
from lightman_jax.preprocessing import mirror_average, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.mirroring import Partners, mirror_partners
from lightman_jax.training.program import method_of
from lightman_jax.types import Clips, Params

_SEQUENCE = 5


class Ensemble(NamedTuple):
    """Trained networks, stacked.

    The networks of all folds and seeds differ in training subjects and random numbers. They share most of their clips, so their
    spread is smaller than the error on an unseen subject.

    Attributes:
      params: as `train_folds` yields them, every leaf `[m, ...]`.
      mean_square: `[m, 1, (1,) 1, 1, C]`, with views `[m, 1, V, 1, 1, C]`, `training_mean_square` of each network's training clips;
        used by `fold_rms` only.
    """

    params: Params
    mean_square: jax.Array


class EnsemblePrograms(NamedTuple):
    """Pure functions of an ensemble and unscaled images `[b, (frames,) H, W, C]`, with views `[b, V, H, W, C]`.

    A view that is NaN in all its pixels is missing: probabilities are means over the other views of the clip.

    Attributes:
      predict: `(ensemble, images) -> [m, b, N]` probabilities, each network's mean over a clip and its mirror image (see
        `TrainConfig.mirror`).
      saliency: `(ensemble, images) -> [b, H, W]`, saliency of the class with the largest mean probability, averaged over networks
        and frames. With views `[b, V, H, W]`, of the log of the mean probability; 0 for a missing view.
      adapt: `(ensemble, support images [s, ...], labels [s], images) -> [m, b, N]`, probabilities after the inner loop on labelled
        clips of the same subject; None for `generated`, which does not adapt.
    """

    predict: Callable[[Ensemble, jax.Array], jax.Array]
    saliency: Callable[[Ensemble, jax.Array], jax.Array]
    adapt: Callable[[Ensemble, jax.Array, jax.Array, jax.Array], jax.Array] | None


def saliency(logits: Callable[[jax.Array], jax.Array], images: jax.Array, labels: jax.Array) -> jax.Array:
    """Gradient times input, `|x * d logit_c(x) / d x|` summed over channels.

    Args:
      logits: `[b, ...] -> [b, N]`, each clip independently of the others.
      images: `[b, (frames,) H, W, C]` scaled images x, or `[b, V, H, W, C]` with NaN for missing views.
      labels: `[b]` classes c.

    Returns:
      `[b, (frames,) H, W]` or `[b, V, H, W]`; 0 where an image is NaN.
    """

    def score(x: jax.Array) -> jax.Array:
        return jnp.take_along_axis(logits(x), labels[:, None], axis=1).sum()

    influence = jnp.abs(images * jax.grad(score)(images))
    return jnp.where(jnp.isnan(images), 0, influence).sum(axis=-1)


def ensemble_programs(config: TrainConfig, adapt_steps: int = 5, classes: Sequence[str] = ()) -> EnsemblePrograms:
    """Build the functions of networks trained with `config`.

    Args:
      config: settings of the training.
      adapt_steps: inner steps on labelled clips.
      classes: class names; `config.mirror` depends on them where they hold a side of the face, and pairs of classes need them.

    Raises:
      ValueError: `config.mirror` has a pair of classes that are not among the names.

    >>> from lightman_jax import NetworkConfig, init_params
    >>> config = TrainConfig(network=NetworkConfig(width=8, embedding=4))
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> init = lambda key: init_params(key, config=config.network, image_shape=(8, 8, 3), classes=2)
    >>> three = Ensemble(jax.vmap(init)(keys), jnp.ones((3, 1, 1, 1, 3)))
    >>> ensemble_programs(config).predict(three, jnp.ones((5, 8, 8, 3))).shape
    (3, 5, 2)
    """
    logits = method_of(config).logits
    partners, views = mirror_partners(config.mirror, classes), config.network.views > 1
    # A prediction is not differentiated through its steps, and the number of labelled clips is open in exported programs.
    bilevel = dataclasses.replace(config.method.bilevel, inner_steps=adapt_steps, remat="off")
    method = dataclasses.replace(config.method, bilevel=bilevel)
    adapted = functools.partial(adapt_and_predict, config=method, network=config.network)

    def scaled(images: jax.Array, mean_square: jax.Array) -> jax.Array:
        return scale_flow(
            images, scaling=config.scaling, mean_square=mean_square, views=views, channels=config.channels
        )

    def each(ensemble: Ensemble, one: Callable[[Params, jax.Array], Any]) -> Any:
        # In sequence: convolutions with a different kernel per network are slow under vmap.
        return jax.lax.map(lambda network: one(*network), (ensemble.params, ensemble.mean_square))

    def predict(ensemble: Ensemble, images: jax.Array) -> jax.Array:
        def one(params: Params, mean_square: jax.Array) -> jax.Array:
            fn = _one_by_one(lambda x: jax.nn.softmax(logits(params, x)), partners)
            return mirror_average(fn, scaled(images, mean_square), partners, channels=config.channels)

        return each(ensemble, one)

    def mean_saliency(ensemble: Ensemble, images: jax.Array) -> jax.Array:
        predicted = predict(ensemble, images).mean(axis=0).argmax(axis=-1)

        def one(params: Params, mean_square: jax.Array) -> jax.Array:
            return saliency(functools.partial(logits, params), scaled(images, mean_square), predicted)

        maps = each(ensemble, one).mean(axis=0)
        return maps.mean(axis=1) if images.ndim == _SEQUENCE and not views else maps

    @transferring
    def adapt(ensemble: Ensemble, support: jax.Array, label: jax.Array, images: jax.Array) -> jax.Array:
        label = jnp.asarray(as_labels(label, initial_params(ensemble.params)["primary"]["bias"].shape[-1]))

        def one(params: Params, mean_square: jax.Array) -> jax.Array:
            clips = Clips(image=scaled(support, mean_square), label=label, where=jnp.ones(label.shape, bool))
            fn = _one_by_one(lambda x: adapted(params, clips, x), partners)
            return mirror_average(fn, scaled(images, mean_square), partners, channels=config.channels)

        return each(ensemble, one)

    return EnsemblePrograms(predict, mean_saliency, adapt if config.method.spec.adapts else None)


def _one_by_one(fn: Callable[[jax.Array], jax.Array], partners: Partners | None) -> Callable[[jax.Array], jax.Array]:
    """`fn` called once for the images and once for their mirror images; one call for both would round differently."""
    if partners is None:
        return fn
    return lambda both: jnp.concatenate([fn(half) for half in jnp.split(both, 2)])
