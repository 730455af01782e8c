"""All networks of a run as one predictor: what each says of a clip, where it looks, and what it says once it knows a person.

The networks of all folds and seeds have seen different people and random numbers; how far they differ is the only spread there is.
They share most of their clips, so it is smaller than the error on a person whom none has seen.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lightman_jax.meta.adaptation import adapt_and_predict
from lightman_jax.meta.methods import make_method
from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.types import Clips, Params

_SEQUENCE = 5


class Ensemble(NamedTuple):
    """Trained networks, one behind the other.

    Attributes:
      params: as `train_folds` yields them, every leaf `[m, ...]`.
      mean_square: `[m, 1, (1,) 1, 1, C]` from `training_mean_square` of each network's training clips; only `fold_rms` reads it.
    """

    params: Params
    mean_square: jax.Array


class EnsemblePrograms(NamedTuple):
    """Pure functions of an ensemble and unscaled images `[b, (frames,) H, W, C]`.

    Attributes:
      predict: `(ensemble, images) -> [m, b, N]` probabilities, each network's mean over a clip and its mirror image.
      look: `(ensemble, images) -> [b, H, W]`, where the class with the largest mean probability depends on the movement.
      adapt: `(ensemble, support images [s, ...], labels [s], images) -> [m, b, N]`, each network adapted by level one to labelled
        clips of the same person first; None for the method `generated`, which adapts to no task.
    """

    predict: Callable[[Ensemble, jax.Array], jax.Array]
    look: Callable[[Ensemble, jax.Array], jax.Array]
    adapt: Callable[[Ensemble, jax.Array, jax.Array, jax.Array], jax.Array] | None


def ensemble_programs(config: TrainConfig, adapt_steps: int = 5) -> EnsemblePrograms:
    """Build the functions of networks that were trained by `config`.

    Sensitivity is `|x * d logit_c / d x|` summed over channels, averaged over networks (and frames).

    Args:
      config: the settings they were trained with.
      adapt_steps: inner steps on the labelled clips of a person.

    >>> from lightman_jax import NetworkConfig, init_params
    >>> config = TrainConfig(network=NetworkConfig(width=8, embedding=4))
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> init = lambda key: init_params(key, config=config.network, image_shape=(8, 8, 3), classes=2)
    >>> three = Ensemble(jax.vmap(init)(keys), jnp.ones((3, 1, 1, 1, 3)))
    >>> ensemble_programs(config).predict(three, jnp.ones((5, 8, 8, 3))).shape
    (3, 5, 2)
    """
    logits = make_method(config.method, config.network, optax.sgd(0.0)).logits
    level = dataclasses.replace(config.method.bilevel, inner_steps=adapt_steps)
    adapted = functools.partial(
        adapt_and_predict, config=dataclasses.replace(config.method, bilevel=level), network=config.network
    )

    def scaled(images: jax.Array, mean_square: jax.Array) -> jax.Array:
        return scale_flow(images, scaling=config.scaling, mean_square=mean_square)

    def each(ensemble: Ensemble, one: Callable[[Params, jax.Array], Any]) -> Any:
        # One network after the other: side by side, convolutions with kernels of their own are slow.
        return jax.lax.map(lambda network: one(*network), (ensemble.params, ensemble.mean_square))

    def predict(ensemble: Ensemble, images: jax.Array) -> jax.Array:
        return each(
            ensemble,
            lambda params, mean_square: _both_ways(
                lambda x: jax.nn.softmax(logits(params, x)), scaled(images, mean_square)
            ),
        )

    def look(ensemble: Ensemble, images: jax.Array) -> jax.Array:
        chosen = predict(ensemble, images).mean(axis=0).argmax(axis=-1)

        def sensitivity(params: Params, mean_square: jax.Array) -> jax.Array:
            x = scaled(images, mean_square)
            own = lambda x: jnp.take_along_axis(logits(params, x), chosen[:, None], axis=1).sum()  # noqa: E731
            return jnp.abs(x * jax.grad(own)(x)).sum(axis=-1)

        found = each(ensemble, sensitivity).mean(axis=0)
        return found.mean(axis=1) if images.ndim == _SEQUENCE else found

    def adapt(ensemble: Ensemble, support: jax.Array, label: jax.Array, images: jax.Array) -> jax.Array:
        def one(params: Params, mean_square: jax.Array) -> jax.Array:
            given = Clips(image=scaled(support, mean_square), label=label, where=jnp.ones(label.shape, bool))
            return _both_ways(lambda x: adapted(params, given, x), scaled(images, mean_square))

        return each(ensemble, one)

    return EnsemblePrograms(predict, look, None if config.method.variant == "generated" else adapt)


def _both_ways(probabilities: Callable[[jax.Array], jax.Array], images: jax.Array) -> jax.Array:
    return 0.5 * (probabilities(images) + probabilities(mirror_flow(images)))
