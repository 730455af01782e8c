"""The bi-level update of networks written in plain JAX, flax.nnx and equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

import lightman_jax as lj


def plain_jax():
    keys = jax.random.split(jax.random.key(0))
    params = [
        (jax.random.normal(keys[0], (1, 40)), jnp.zeros(40)),
        (jax.random.normal(keys[1], (40, 1)) / 6.3, jnp.zeros(1)),
    ]

    def apply(params, x):
        (w1, b1), (w2, b2) = params
        return jnp.tanh(x @ w1 + b1) @ w2 + b2

    return params, apply


def flax_nnx():
    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first, self.second = nnx.Linear(1, 40, rngs=rngs), nnx.Linear(40, 1, rngs=rngs)

        def __call__(self, x):
            return self.second(jnp.tanh(self.first(x)))

    graph, params = nnx.split(Network(nnx.Rngs(0)))
    return params, lambda params, x: nnx.merge(graph, params)(x)


def equinox():
    network = eqx.nn.MLP(1, 1, 40, 1, activation=jnp.tanh, key=jax.random.key(0))
    params, static = eqx.partition(network, eqx.is_array)
    return params, lambda params, x: jax.vmap(eqx.combine(params, static))(x)


@pytest.mark.slow
@pytest.mark.parametrize("framework", [plain_jax, flax_nnx, equinox])
def test_make_update_trains_networks_of_other_frameworks(framework):
    params, apply = framework()

    def loss(part):
        return lambda params, task: (jnp.mean((apply(params, task[part][0]) - task[part][1]) ** 2), {})

    def draw(key):
        phase_key, x_key = jax.random.split(key)
        x = jax.random.uniform(x_key, (2, 20, 1), minval=-3, maxval=3)
        y = jnp.sin(x + jax.random.uniform(phase_key, maxval=jnp.pi))
        return {"support": (x[0, :10], y[0, :10]), "query": (x[1], y[1])}

    config = lj.BilevelConfig(inner_steps=1, inner_lr=0.05)
    optimizer = optax.adam(3e-3)
    losses = {"inner_loss": loss("support"), "outer_loss": loss("query"), "config": config}
    with jax.numpy_rank_promotion("allow"):
        update = jax.jit(lj.make_update(outer_optimizer=optimizer, **losses))
        state = lj.TrainState(params=params, opt_state=optimizer.init(params), step=jnp.int32(0))
        history = []
        for step in range(150):
            tasks = jax.vmap(draw)(jax.random.split(jax.random.key(step), 8))
            state, metrics = update(state, tasks)
            history.append(float(metrics["outer/loss"]))
        phi, _ = lj.adapt(state.params, jax.tree.map(lambda x: x[0], tasks), inner_loss=loss("support"), config=config)
    assert sum(history[-20:]) < 0.6 * sum(history[:20])
    assert jax.tree.structure(phi) == jax.tree.structure(params)
