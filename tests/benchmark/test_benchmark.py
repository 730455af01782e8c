"""The benchmark: all contenders do the same work, and its arithmetic is right."""

import dataclasses
import importlib.util
import re
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.benchmark import __main__ as benchmark
from experiments.benchmark.growth import Point, exponent
from experiments.benchmark.layers import layers_of
from experiments.benchmark.measure import ROOT, Timing, difference, fresh_process, interleaved, time_call
from experiments.benchmark.plain_jax import make_gradient as plain_gradient
from experiments.benchmark.product import make_gradient, make_prediction, network_of, task_mesh
from experiments.benchmark.work import SETTINGS, Setting, draw_work, gigaflop
from lightman_jax.networks.backbones import Conv4
from lightman_jax.networks.dual_branch import init_params, make_backbone

SMALL = Setting(side=8, width=4, way=3, support=4, query=4, inner_steps=2, tasks=2)


@pytest.fixture
def small_work(x64, monkeypatch):
    """Parameters and tasks of two layers in float64, and the gradient of the package; four layers take much longer to compile."""
    for module in ("layers", "plain_jax"):
        monkeypatch.setattr(f"experiments.benchmark.{module}.LAYERS", 2)
    monkeypatch.setattr(Conv4, "depth", 2)
    params, tasks = draw_work(SMALL, dtype=np.float64)
    return params, tasks, jax.jit(make_gradient(SMALL, network_of(SMALL), task_mesh()))(params, tasks)


@pytest.mark.parametrize("first_order", [False, True])
def test_the_operation_count_follows_the_layers(first_order):
    setting = dataclasses.replace(SETTINGS["a"], first_order=first_order)
    assert gigaflop(setting) == pytest.approx(22.2 if first_order else 57.5, abs=0.05)
    longer = dataclasses.replace(setting, tasks=8)
    assert gigaflop(longer) == pytest.approx(2 * gigaflop(setting))


@pytest.mark.slow
def test_the_package_and_plain_jax_compute_the_same_gradient(small_work):
    params, tasks, own = small_work
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        plain = jax.jit(plain_gradient(SMALL, "scan"))(params, tasks)
    assert difference(plain, own) < 1e-10
    wrong = jax.tree.map(lambda g: 1.001 * g, own)
    assert difference(wrong, own) == pytest.approx(1e-3)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_torch_computes_the_same_gradient_and_predictions(small_work):
    from experiments.benchmark import torch_peers

    params, tasks, own = small_work
    inputs = torch_peers.from_numpy(params, tasks, SMALL)
    for make in (torch_peers.autograd_loop, torch_peers.functional_vmap):
        assert difference(torch_peers.to_numpy(make(SMALL)(*inputs), SMALL), own) < 1e-10
    predicted = jax.jit(make_prediction(SMALL, network_of(SMALL), task_mesh()))(params, tasks)
    np.testing.assert_allclose(torch_peers.prediction_loop(SMALL)(*inputs).numpy(), predicted, atol=1e-10)


@pytest.mark.parametrize("backbone", ["conv4", "resnet12", "resnet18", "vgg16"])
@pytest.mark.parametrize("side", [9, 28])
def test_the_drawn_parameters_are_those_of_the_backbone(backbone, side):
    setting = dataclasses.replace(SMALL, backbone=backbone, side=side)
    params, _ = draw_work(setting)
    shapes = jax.eval_shape(
        lambda key: init_params(key, config=network_of(setting), image_shape=(side, side, 3), classes=setting.way),
        jax.random.key(0),
    )
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    maps = jax.eval_shape(
        make_backbone(network_of(setting)).apply, {"params": params["backbone"]}, jnp.zeros((1, side, side, 3))
    )[1]
    last = layers_of(backbone, 4, side)[-1].side
    assert maps.shape[1] == last


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("backbone", ["resnet12", "resnet18", "vgg16"])
def test_torch_computes_the_same_loss_of_the_deep_backbones(backbone, x64):
    from experiments.benchmark import torch_peers

    setting = dataclasses.replace(SMALL, backbone=backbone, side=20, inner_steps=0)
    params, tasks = draw_work(setting, dtype=np.float64)
    predicted = make_prediction(setting, network_of(setting), task_mesh())(params, tasks)
    inputs = torch_peers.from_numpy(params, tasks, setting)
    np.testing.assert_allclose(torch_peers.prediction_loop(setting)(*inputs).numpy(), predicted, atol=1e-10)
    assert difference(torch_peers.to_numpy(inputs[0], setting), params) == 0


def test_ratios_are_taken_within_rounds():
    slow, fast = Timing((2.0, 20.0, 3.0)), Timing((1.0, 10.0, 1.0))
    assert fast.speed_up(slow) == 2
    assert slow.median == 3
    order = []
    timings = interleaved({"a": lambda: order.append("a"), "b": lambda: (order.append("b"), time.sleep(0.002))}, 3)
    assert order == ["a", "b"] * 4
    assert min(timings["b"].seconds) >= 0.002 > timings["a"].median
    assert len(time_call(lambda: order.append("c"), 5).seconds) == order.count("c") - 1 == 5


def test_the_table_of_pixels_has_an_exponent_per_backbone(monkeypatch):
    points = [Point("vgg16", side**2, 1e-4 * side**2, 10 * side**3) for side in (10, 20, 40)]
    assert exponent(points, 3) == 1.0
    assert exponent(points, 3, memory=True) == 1.5
    console = Console(width=200, record=True)
    benchmark._show_pixels(console, points)
    assert re.search(r"vgg16 .* 0.010 s, 0 MB .* 0.160 s, 1 MB .* 1.00 .* 1.50", console.export_text())


def test_settings_and_orders_are_chosen_by_name(capsys):
    assert benchmark._names(SETTINGS)("b,resnet12") == ("b", "resnet12")
    assert benchmark.main(["--work=z"]) == 2
    assert "'z' is none of a, b, c" in capsys.readouterr().err


def test_the_error_of_a_failed_process_is_reported():
    with pytest.raises(RuntimeError, match="KeyError"):
        fresh_process("experiments.benchmark.process", "lightman_jax", "z")


def test_a_process_that_measures_pytorch_does_not_contain_jax():
    """Otherwise the memory of JAX would be counted as that of PyTorch."""
    code = (
        "import sys; from experiments.benchmark.process import peak_megabytes; "
        "assert peak_megabytes() > 1; assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
