"""Timings of one outer gradient by the package, PyTorch and plain JAX, after a comparison of their gradients."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection
from typing import Any

import jax
import numpy as np

from experiments.benchmark.measure import compile_call, difference, in_float64, interleaved
from experiments.benchmark.plain_jax import PlainForm
from experiments.benchmark.plain_jax import make_gradient as plain_gradient
from experiments.benchmark.product import make_gradient, make_prediction, network_of, task_mesh
from experiments.benchmark.work import SETTINGS, Setting, draw_work, gigaflop

PRODUCT, LOOP = "lightman_jax", "PyTorch loop"
_TORCH_FORMS = {LOOP: "autograd_loop", "torch.func": "functional_vmap"}
ORDERS = ("second", "first", "predict")
# Small enough for float64, with 32 channels, for which convolutions have other forms than for fewer.
_CHECKED = {"side": 28, "width": 32, "way": 3, "support": 6, "query": 6, "inner_steps": 2, "tasks": 2}

Row = dict[str, Any]
Contenders = dict[str, Callable[[], Any]]


def compare_gradients(settings: Collection[str], orders: Collection[str], torch: bool) -> dict[str, float]:
    """Relative difference of each contender's gradients and predictions from those of the package, in float64."""
    small = dict.fromkeys(dataclasses.replace(SETTINGS[name], **_CHECKED) for name in settings)  # type: ignore[arg-type]
    with in_float64():
        return {
            name: value
            for setting in small
            for order in orders
            for name, value in _compare(
                dataclasses.replace(setting, first_order=order == "first"), order, torch
            ).items()
        }


def _compare(setting: Setting, order: str, torch: bool) -> dict[str, float]:
    params, tasks = draw_work(setting, dtype=np.float64)
    make: Callable[..., Any] = make_prediction if order == "predict" else make_gradient
    own = jax.jit(make(setting, network_of(setting), task_mesh()))(params, tasks)
    work = f"{setting.backbone}, {setting.stem}, {setting.head}, {order}"
    found: dict[str, Any] = {}
    if (setting.backbone, setting.head, order) == ("conv4", "mean", "second"):
        forms: tuple[PlainForm, ...] = ("vmap", "vmap_unrolled", "scan")
        found |= {f"plain JAX, {form}": jax.jit(plain_gradient(setting, form))(params, tasks) for form in forms}
    if torch:
        from experiments.benchmark import torch_peers

        inputs = torch_peers.from_numpy(params, tasks, setting)
        if order == "predict":
            found[f"{LOOP}, {work}"] = torch_peers.prediction_loop(setting)(*inputs).cpu().numpy()
        else:
            names = _TORCH_FORMS if found else {LOOP: _TORCH_FORMS[LOOP]}
            for name, form in names.items():
                gradient = getattr(torch_peers, form)(setting)(*inputs)
                found[f"{name}, {work}"] = torch_peers.to_numpy(gradient, setting)
    return {name: difference(result, own) for name, result in found.items()}


def time_updates(settings: Collection[str], orders: Collection[str], rounds: int, torch: bool) -> list[Row]:
    """Outer gradients of second and first order, and adaptation with prediction, in the given settings."""
    rows: list[Row] = []
    for name, order in itertools.product(settings, orders):
        if order == "predict":
            setting = SETTINGS[name]
            call = compile_call(make_prediction(setting, network_of(setting), task_mesh()), setting).call
            contenders = {PRODUCT: call} | _torch_calls(torch, {LOOP: "prediction_loop"}, setting)
            rows += _timed(f"{name}, adapt and predict", contenders, rounds, None)
        else:
            setting = dataclasses.replace(SETTINGS[name], first_order=order == "first")
            contenders = {PRODUCT: _product_call(setting)} | _torch_calls(torch, {LOOP: "autograd_loop"}, setting)
            rows += _timed(f"{name}, {order} order", contenders, rounds, gigaflop(setting))
    return rows


def time_formulations(torch: bool) -> list[Row]:
    """Setting a in other formulations; some take many seconds per call, so there are two rounds."""
    setting = SETTINGS["a"]
    names: dict[PlainForm, str] = {
        "vmap": "plain JAX, vmap over tasks",
        "vmap_unrolled": "plain JAX, vmap, steps unrolled",
        "scan": "plain JAX, one task at a time",
    }
    contenders = {PRODUCT: _product_call(setting)}
    contenders |= {name: compile_call(plain_gradient(setting, form), setting).call for form, name in names.items()}
    torch_forms = {LOOP: "autograd_loop", "torch.func, vmap over tasks": "functional_vmap"}
    contenders |= _torch_calls(torch, torch_forms, setting)
    return _timed("a, other formulations", contenders, 2, gigaflop(setting))


def time_precisions(rounds: int) -> list[Row]:
    """Setting a by precision, form of the convolutions and task mapping, against the defaults."""
    setting = SETTINGS["a"]
    contenders = {PRODUCT: _product_call(setting)}
    exact = contenders[PRODUCT]()
    errors: dict[str, float] = {}
    # On a CPU, vmap over tasks is timed among the other formulations.
    mappings = ("scan",) if jax.default_backend() == "cpu" else ("scan", "vmap")
    for precision, form, mapping in itertools.product(("float32", "bfloat16"), ("closed", "tiled"), mappings):
        name = f"{precision}, {form}, tasks by {mapping}"
        call = _product_call(setting, task_mapping=mapping, precision=precision, conv_form=form)
        contenders[name], errors[name] = call, difference(call(), exact)
    rows = _timed("a, forms and precisions", contenders, rounds, gigaflop(setting))
    return [row | {"gradient_error": errors[row["contender"]]} if row["contender"] in errors else row for row in rows]


def _product_call(setting: Setting, *, task_mapping: Any = "auto", **network: Any) -> Callable[[], Any]:
    gradient = make_gradient(setting, network_of(setting, **network), task_mesh(), task_mapping=task_mapping)
    return compile_call(gradient, setting).call


def _torch_calls(torch: bool, forms: dict[str, str], setting: Setting) -> Contenders:
    return torch_calls(forms, setting) if torch else {}


def torch_calls(forms: dict[str, str], setting: Setting) -> Contenders:
    """Calls of functions of `torch_peers`, which wait for the result."""
    from experiments.benchmark import torch_peers

    inputs = torch_peers.from_numpy(*draw_work(setting), setting)

    def call(function: Callable[..., Any]) -> Any:
        result = function(*inputs)
        torch_peers.wait()
        return result

    return {name: functools.partial(call, getattr(torch_peers, form)(setting)) for name, form in forms.items()}


def _timed(work: str, contenders: Contenders, rounds: int, flop: float | None) -> list[Row]:
    timings = interleaved(contenders, rounds)
    rows: list[Row] = []
    for name, timing in timings.items():
        row: Row = {"work": work, "contender": name, "seconds": timing.median, "rounds": rounds}
        if flop is not None:
            row["gigaflop_per_second"] = flop / timing.median
        if LOOP in timings:
            row["speed_up"] = timing.speed_up(timings[LOOP])
        if name != PRODUCT:
            row["lightman_jax_speed_up"] = timings[PRODUCT].speed_up(timing)
        rows.append(row)
    return rows
