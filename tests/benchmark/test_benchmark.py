"""The benchmark measures the same work in every contender, and its arithmetic is right."""

import dataclasses
import time

import jax
import numpy as np
import pytest

from experiments.benchmark.measure import Timing, difference, fresh_process, interleaved
from experiments.benchmark.plain_jax import make_gradient as plain_gradient
from experiments.benchmark.product import make_gradient, make_prediction, network_of, task_mesh
from experiments.benchmark.work import SETTINGS, Setting, draw_work, gigaflop

SMALL = Setting(side=16, width=8, way=3, support=4, query=4, inner_steps=2, tasks=2)


@pytest.mark.parametrize("first_order", [False, True])
def test_the_hand_count_follows_the_layers(first_order):
    setting = dataclasses.replace(SETTINGS["a"], first_order=first_order)
    assert gigaflop(setting) == pytest.approx(22.2 if first_order else 57.5, abs=0.05)
    longer = dataclasses.replace(setting, tasks=8)
    assert gigaflop(longer) == pytest.approx(2 * gigaflop(setting))


def test_the_product_and_plain_jax_compute_the_same_gradient(x64):
    params, tasks = draw_work(SMALL, dtype=np.float64)
    own = jax.jit(make_gradient(SMALL, network_of(SMALL), task_mesh()))(params, tasks)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        plain = jax.jit(plain_gradient(SMALL, "scan"))(params, tasks)
    assert difference(plain, own) < 1e-10
    wrong = jax.tree.map(lambda g: 1.001 * g, own)
    assert difference(wrong, own) == pytest.approx(1e-3)


def test_torch_computes_the_same_gradient_and_predictions(x64):
    pytest.importorskip("torch")
    from experiments.benchmark import torch_peers

    params, tasks = draw_work(SMALL, dtype=np.float64)
    inputs = torch_peers.from_numpy(params, tasks)
    own = jax.jit(make_gradient(SMALL, network_of(SMALL), task_mesh()))(params, tasks)
    for make in (torch_peers.autograd_loop, torch_peers.functional_vmap):
        assert difference(torch_peers.to_numpy(make(SMALL)(*inputs)), own) < 1e-10
    predicted = jax.jit(make_prediction(SMALL, network_of(SMALL), task_mesh()))(params, tasks)
    np.testing.assert_allclose(torch_peers.prediction_loop(SMALL)(*inputs).numpy(), predicted, atol=1e-10)


def test_ratios_are_taken_within_rounds():
    slow, fast = Timing((2.0, 20.0, 3.0)), Timing((1.0, 10.0, 1.0))
    assert fast.speed_up(slow) == 2
    assert slow.median == 3
    order = []
    timings = interleaved({"a": lambda: order.append("a"), "b": lambda: (order.append("b"), time.sleep(0.002))}, 3)
    assert order == ["a", "b"] * 4
    assert min(timings["b"].seconds) >= 0.002 > timings["a"].median


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="KeyError"):
        fresh_process("experiments.benchmark.process", "product", "z")
