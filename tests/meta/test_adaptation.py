"""Adaptation to any number of clips and tasks: padding changes nothing, and sizes share compiled programs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.meta.adaptation import adapt_and_predict, make_adapter, pad_clips
from lightman_jax.meta.inner_loop import BilevelConfig, adapt, learn_inner_lr
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.meta.objective import adapted_parts, method_problem
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches, branch_statistics, init_params
from lightman_jax.types import Clips, Task

NETWORK = NetworkConfig(width=4, embedding=3)
CONFIG = MethodConfig(bilevel=BilevelConfig(inner_steps=3, inner_lr=0.5))


@pytest.fixture
def params(one_block):
    return init_params(jax.random.key(0), config=NETWORK, image_shape=(8, 8, 2), classes=3)


def labelled(rng, n):
    return rng.normal(size=(n, 8, 8, 2)).astype(np.float32), rng.integers(0, 3, n)


def by_hand(params, support, query, config):
    clips = lambda pair: Clips(  # noqa: E731
        jnp.asarray(pair[0]), jnp.asarray(pair[1], jnp.int32), jnp.ones(len(pair[1]), bool)
    )
    problem = method_problem(dataclasses.replace(config, inner_alignment=0.0), NETWORK)
    task = Task(support=clips(support), macro=clips(support), query=clips(support))
    phi, _ = adapt(params, task, inner_loss=problem.inner_loss, config=config.bilevel, adapted=adapted_parts(config))
    return jax.nn.softmax(apply_branches(phi, jnp.asarray(query), config=NETWORK).logits)


@pytest.mark.slow
def test_padded_tasks_of_different_size_equal_each_task_alone(params):
    rng = np.random.default_rng(0)
    supports = [labelled(rng, n) for n in (3, 1, 6)]
    queries = [labelled(rng, n)[0] for n in (2, 5, 1)]
    for row, probabilities in enumerate(make_adapter(CONFIG, NETWORK)(params, supports, queries)):
        np.testing.assert_allclose(probabilities, by_hand(params, supports[row], queries[row], CONFIG), atol=1e-5)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_prediction_without_labelled_clips_is_unadapted_and_labels_raise_their_class(params):
    rng = np.random.default_rng(1)
    query = labelled(rng, 4)[0]
    nothing = (np.zeros((0, 8, 8, 2), np.float32), np.zeros(0, np.int32))
    adapter = make_adapter(CONFIG, NETWORK)
    plain = jax.nn.softmax(apply_branches(params, jnp.asarray(query), config=NETWORK).logits)
    np.testing.assert_allclose(adapter(params, [nothing], [query])[0], plain, atol=1e-6)
    support = (query, np.array([2, 2, 2, 2]))
    assert np.all(adapter(params, [support], [query])[0][:, 2] > np.asarray(plain)[:, 2])


@pytest.mark.slow
def test_sizes_with_the_same_padding_share_a_program(params):
    rng = np.random.default_rng(2)
    traces = []

    def counting(*arguments, **settings):
        traces.append(1)
        return adapt_and_predict(*arguments, **settings)

    import lightman_jax.meta.adaptation as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "adapt_and_predict", counting)
        adapter = make_adapter(CONFIG, NETWORK)
        for shots, queries, tasks in ((5, 3, 2), (7, 4, 2), (8, 3, 1)):
            adapter(params, [labelled(rng, shots)] * tasks, [labelled(rng, queries)[0]] * tasks)
    assert len(traces) == 2, "5 and 7 clips are both padded to 8; a single task is another size"


@pytest.mark.slow
def test_adaptation_of_prototypes_learned_inner_lr_and_stored_moments(params):
    rng = np.random.default_rng(3)
    support, query = labelled(rng, 4), labelled(rng, 3)[0]
    clips = jax.tree.map(lambda x: x[0], pad_clips([support]))

    def predict(params, config, network=NETWORK, images=query):
        return adapt_and_predict(params, clips, jnp.asarray(images), config=config, network=network)

    protonet = method_config("protonet", MethodConfig())
    features = np.asarray(apply_features(params, np.concatenate([support[0], query])))
    centres = np.stack([features[:4][support[1] == k].mean(axis=0) for k in sorted(set(support[1]))])
    distances = ((features[4:, None] - centres[None]) ** 2).sum(axis=-1)
    expected = np.exp(-distances) / np.exp(-distances).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict(params, protonet)[:, sorted(set(support[1]))], expected, atol=1e-4)

    with_lr = learn_inner_lr(params, CONFIG.bilevel.inner_lr, each="entry")
    np.testing.assert_allclose(predict(with_lr, CONFIG), predict(params, CONFIG), atol=1e-5)

    network = dataclasses.replace(NETWORK, normalisation="batch")
    stored = params | {"statistics": branch_statistics(params, clips.image, config=network)}
    together = predict(stored, CONFIG, network)
    np.testing.assert_allclose(predict(stored, CONFIG, network, query[:1]), together[:1], atol=1e-5)
    assert "statistics" in stored


def apply_features(params, images):
    from lightman_jax.networks.dual_branch import extract_features

    return extract_features(params, jnp.asarray(images), config=NETWORK)[0][:, 0]


def test_invalid_adaptations_are_refused(params):
    clips = pad_clips([labelled(np.random.default_rng(0), 2)])
    with pytest.raises(ValueError, match="generated"):
        adapt_and_predict(
            params, clips, clips.image, config=method_config("generated", MethodConfig()), network=NETWORK
        )
    with pytest.raises(ValueError, match="2 images have 1 labels"):
        pad_clips([(np.ones((2, 8, 8, 2)), [0])])
    with pytest.raises(ValueError, match="no task"):
        pad_clips([])
    with pytest.raises(ValueError, match="1 supports, 2 queries"):
        make_adapter(CONFIG, NETWORK)(params, [labelled(np.random.default_rng(0), 2)], [clips.image[0]] * 2)
