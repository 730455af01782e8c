"""The meta-gradient of LightmanNet equals that of an independent NumPy implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.methods import MethodConfig
from lightman_jax.meta.objective import method_problem
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.types import Clips, Task
from tests.inputs import random_params
from tests.reference import numpy_lightman as oracle

pytestmark = pytest.mark.slow

SETTINGS = {"lambda": 0.7, "mu": 0.4, "pre": 0.6, "alpha": 0.05, "temperature": 0.3}
NETWORK = NetworkConfig(backbone="conv4", normalisation="group", width=8, embedding=5)


@pytest.fixture
def problem(x64):
    rng = np.random.default_rng(0)
    params = random_params(NETWORK, (16, 16, 2), seed=3)
    tasks = []
    for _ in range(2):
        part = lambda n, labels: (rng.normal(size=(n, 16, 16, 2)), np.array(labels))  # noqa: E731
        tasks.append({"support": part(4, [0, 1, 2, 1]), "query": part(3, [2, 0, 1]), "macro": part(3, [0, 1, 1])})
    return params, tasks


def stacked(tasks):
    def clips(name):
        images, labels = (np.stack([task[name][i] for task in tasks]) for i in (0, 1))
        return Clips(jnp.asarray(images), jnp.asarray(labels, jnp.int32), jnp.ones(labels.shape, bool))

    return Task(support=clips("support"), macro=clips("macro"), query=clips("query"))


def library_gradient(params, tasks, *, steps, first_order, mapping="scan", conv_form="auto"):
    bilevel = BilevelConfig(steps, SETTINGS["alpha"], first_order, mapping)
    method = MethodConfig(
        bilevel=bilevel,
        temperature=SETTINGS["temperature"],
        inner_alignment=SETTINGS["lambda"],
        outer_alignment=SETTINGS["mu"],
        initial_weight=SETTINGS["pre"],
    )
    network = NetworkConfig(backbone="conv4", normalisation="group", width=8, embedding=5, conv_form=conv_form)
    gradient, metrics = jax.jit(method_problem(method, network).gradient)(params, stacked(tasks))
    return float(metrics["loss"]), jax.tree.map(np.asarray, gradient)


def oracle_objective(params, tasks, steps):
    results = [oracle.objective(params, task, {**SETTINGS, "inner_steps": steps}) for task in tasks]
    value = np.mean([value for value, _ in results])
    gradient = jax.tree.map(lambda *g: np.mean(g, axis=0), *[gradient for _, gradient in results])
    return value, gradient


def slope(gradient, direction):
    return sum(np.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))


def test_gradient_of_the_oracle_equals_its_central_differences(problem):
    """Checks the hand-derived gradient without inner steps."""
    params, tasks = problem
    params = jax.tree.map(np.asarray, params)
    _, gradient = oracle_objective(params, tasks, steps=0)
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), params)
    h = 1e-6
    up, down = (oracle_objective(oracle.combine(params, direction, sign * h), tasks, 0)[0] for sign in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx(slope(gradient, direction), rel=1e-7)


@pytest.mark.parametrize(("steps", "mapping"), [(0, "scan"), (1, "vmap"), (2, "scan"), (2, "vmap")])
def test_first_order_gradient_equals_the_oracle(problem, steps, mapping):
    params, tasks = problem
    expected_value, expected = oracle_objective(jax.tree.map(np.asarray, params), tasks, steps)
    value, gradient = library_gradient(params, tasks, steps=steps, first_order=True, mapping=mapping)
    assert value == pytest.approx(expected_value, abs=1e-10)
    for name, group in expected.items():
        for leaf in group:
            np.testing.assert_allclose(gradient[name][leaf], group[leaf], atol=1e-8, err_msg=f"{name}/{leaf}")


@pytest.mark.parametrize(("steps", "conv_form"), [(1, "plain"), (3, "auto")])
def test_second_order_gradient_equals_central_differences_of_the_oracle(problem, steps, conv_form):
    params, tasks = problem
    numbers = jax.tree.map(np.asarray, params)
    _, gradient = library_gradient(params, tasks, steps=steps, first_order=False, conv_form=conv_form)
    _, first_order = oracle_objective(numbers, tasks, steps)
    rng = np.random.default_rng(2)
    gap = 0.0
    for group in ("backbone", "primary", "auxiliary", None):
        direction = jax.tree.map(lambda x: rng.normal(size=x.shape), numbers)
        if group is not None:
            direction = {k: jax.tree.map(lambda x, on=k == group: x * on, v) for k, v in direction.items()}
        # Unit length and a small step, because J jumps where a ReLU or maximum of an inner step selects differently.
        length = np.sqrt(sum(np.vdot(d, d) for d in jax.tree.leaves(direction)))
        direction, h = jax.tree.map(lambda x, by=length: x / by, direction), 1e-6
        up, down = (oracle_objective(oracle.combine(numbers, direction, sign * h), tasks, steps)[0] for sign in (1, -1))
        exact, approximate = slope(gradient, direction), slope(first_order, direction)
        assert (up - down) / (2 * h) == pytest.approx(exact, abs=1e-8 * max(1.0, abs(exact)))
        gap = max(gap, abs(exact - approximate))
    assert gap > 1e-4, "second and first order must differ here, or this test proves nothing"
