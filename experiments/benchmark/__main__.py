"""How fast the two-level update is, against PyTorch and plain JAX, gradients compared first."""

import dataclasses
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmark.ceilings import measure_ceilings
from experiments.benchmark.growth import exponent, measure_growth
from experiments.benchmark.hosts import measure_hosts
from experiments.benchmark.measure import difference, fresh_process, interleaved
from experiments.benchmark.picture import save_growth_figure, save_speed_figure
from experiments.benchmark.plain_jax import PlainForm
from experiments.benchmark.plain_jax import make_gradient as plain_gradient
from experiments.benchmark.product import make_gradient, make_prediction, network_of, task_mesh
from experiments.benchmark.work import SETTINGS, Setting, draw_work, gigaflop
from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser
from lightman_jax.files import write_whole
from lightman_jax.meta.inner_loop import TaskMapping
from lightman_jax.networks.convolution import ConvForm, Precision

PARTS = ("ceilings", "update", "peers", "precision", "process", "devices", "hosts", "growth")
_PRODUCT, _LOOP = "product", "PyTorch loop"
_CHECKED = Setting(side=28, width=32, way=3, support=6, query=6, inner_steps=2, tasks=2)
_AGREE = 1e-10

Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print tables, and write `benchmark.json` with its pictures; 0, or 1 where gradients disagree."""
    words = sys.argv[1:] if argv is None else list(argv)
    remedy = "Give a folder that can be written by --workdir"
    return run_command("experiments.benchmark", words, lambda: _run(words), remedy=remedy)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("benchmark", __doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given again")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds")
    parser.add_argument("--workdir", type=Path, default=Path("runs/benchmark"), help="folder of the results")
    options = parser.parse_args(words)
    parts = options.part or PARTS
    console = Console(width=110)
    _use_all_cores()
    torch = importlib.util.find_spec("torch") is not None
    if not torch:
        console.print("PyTorch is not installed: its rows are left out (pip install torch)")
    result: Row = {"machine": _machine()}
    if {"update", "peers"} & {*parts}:
        result["agreement"] = _agreement(torch)
        console.print("gradients in float64, relative difference from the product:", result["agreement"])
        if max(result["agreement"].values()) > _AGREE:
            console.print(f"gradients differ by more than {_AGREE}: nothing is timed", style="bold red")
            return 1
    if "ceilings" in parts:
        result["ceilings"] = measure_ceilings()
    rows: list[Row] = []
    if "update" in parts:
        rows += _updates(options.rounds, torch)
    if "peers" in parts:
        rows += _peers(torch)
    result["rows"] = rows
    if "precision" in parts:
        rows += _precision(options.rounds)
    if "process" in parts:
        result["process"] = _processes(torch)
    if "devices" in parts:
        result["devices"] = _devices()
    if "hosts" in parts and jax.default_backend() == "cpu":
        result["hosts"] = measure_hosts(jax.device_count())
    if "growth" in parts:
        points = measure_growth()
        result["growth"] = [point._asdict() for point in points]
        axes = dict.fromkeys(point.axis for point in points)
        result["exponents"] = {name: round(exponent([p for p in points if p.axis == name]), 2) for name in axes}
        result["folds_per_second"] = max(p.size / p.seconds for p in points if p.axis == "folds")
    options.workdir.mkdir(parents=True, exist_ok=True)
    write_whole(options.workdir / "benchmark.json", json.dumps(result, indent=1) + "\n")
    if any("speed_up" in row for row in rows):
        save_speed_figure(options.workdir / "speed.png", [row for row in rows if "speed_up" in row])
    if "growth" in parts:
        save_growth_figure(options.workdir / "growth.png", points)
    _show(console, result)
    console.print(f"results: {options.workdir} (benchmark.json, pictures)")
    return 0


def _use_all_cores() -> None:
    # PyTorch needs room on the same GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def _agreement(torch: bool) -> dict[str, float]:
    """Relative differences of every contender's gradient from the product's, in float64."""
    with jax.enable_x64(True):
        params, tasks = draw_work(_CHECKED, dtype=np.float64)
        own = jax.jit(make_gradient(_CHECKED, network_of(_CHECKED), task_mesh()))(params, tasks)
        forms: tuple[PlainForm, ...] = ("vmap", "vmap_unrolled", "scan")
        found = {f"plain JAX, {form}": jax.jit(plain_gradient(_CHECKED, form))(params, tasks) for form in forms}
        if torch:
            from experiments.benchmark import torch_peers

            inputs = torch_peers.from_numpy(params, tasks)
            for name, make in ((_LOOP, torch_peers.autograd_loop), ("torch.func", torch_peers.functional_vmap)):
                found[name] = torch_peers.to_numpy(make(_CHECKED)(*inputs))
    return {name: difference(gradient, own) for name, gradient in found.items()}


def _updates(rounds: int, torch: bool) -> list[Row]:
    works = {f"{name}, second order": SETTINGS[name] for name in SETTINGS}
    works["a, first order"] = dataclasses.replace(SETTINGS["a"], first_order=True)
    rows: list[Row] = []
    for work, setting in works.items():
        contenders = {_PRODUCT: _product_call(setting)}
        if torch:
            from experiments.benchmark import torch_peers

            contenders[_LOOP] = _bound(torch_peers.autograd_loop(setting), torch_peers.from_numpy(*draw_work(setting)))
        rows += _timed(work, contenders, rounds, gigaflop(setting))
    setting = SETTINGS["a"]
    inputs = jax.device_put(draw_work(setting))
    compiled = jax.jit(make_prediction(setting, network_of(setting), task_mesh())).lower(*inputs).compile()
    contenders = {_PRODUCT: _blocking(compiled, inputs)}
    if torch:
        contenders[_LOOP] = _bound(torch_peers.prediction_loop(setting), torch_peers.from_numpy(*draw_work(setting)))
    return rows + _timed("a, adapt and predict", contenders, rounds, None)


def _peers(torch: bool) -> list[Row]:
    """Setting a in the other formulations; the slow ones take many seconds a call, so two rounds."""
    setting = SETTINGS["a"]
    contenders = {_PRODUCT: _product_call(setting)}
    inputs = jax.device_put(draw_work(setting))
    names: dict[PlainForm, str] = {
        "vmap": "plain JAX, vmap over tasks",
        "vmap_unrolled": "plain JAX, vmap, steps unrolled",
        "scan": "plain JAX, tasks in turn",
    }
    for form, name in names.items():
        contenders[name] = _blocking(jax.jit(plain_gradient(setting, form)).lower(*inputs).compile(), inputs)
    if torch:
        from experiments.benchmark import torch_peers

        flat = torch_peers.from_numpy(*draw_work(setting))
        contenders[_LOOP] = _bound(torch_peers.autograd_loop(setting), flat)
        contenders["torch.func, vmap over tasks"] = _bound(torch_peers.functional_vmap(setting), flat)
    return _timed("a, other formulations", contenders, 2, gigaflop(setting))


def _precision(rounds: int) -> list[Row]:
    """Setting a with rounded factors, tasks in turn and side by side, against the defaults: what `auto` should choose here."""
    setting = SETTINGS["a"]
    contenders = {_PRODUCT: _product_call(setting)}
    exact = contenders[_PRODUCT]()
    found: dict[str, float] = {}
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    forms: tuple[ConvForm, ...] = ("closed", "tiled")
    mappings: tuple[TaskMapping, ...] = ("scan", "vmap")
    # Side-by-side tasks on a CPU are timed among the other formulations.
    mappings = mappings[:1] if jax.default_backend() == "cpu" else mappings
    for precision in precisions:
        for form in forms:
            for mapping in mappings:
                name = f"{precision}, {form}, tasks by {mapping}"
                changes: Row = {"precision": precision, "conv_form": form}
                contenders[name] = _product_call(setting, task_mapping=mapping, **changes)
                found[name] = difference(contenders[name](), exact)
    rows = _timed("a, forms and precisions", contenders, rounds, gigaflop(setting))
    for row in rows:
        if row["contender"] in found:
            row["gradient_error"] = found[row["contender"]]
    return rows


def _product_call(setting: Setting, *, task_mapping: TaskMapping = "auto", **network: Any) -> Callable[[], Any]:
    inputs = jax.device_put(draw_work(setting))
    gradient = make_gradient(setting, network_of(setting, **network), task_mesh(), task_mapping=task_mapping)
    return _blocking(jax.jit(gradient).lower(*inputs).compile(), inputs)


def _blocking(compiled: Callable[..., Any], inputs: tuple[Any, ...]) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(compiled(*inputs))


def _bound(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Callable[[], Any]:
    """A call of a PyTorch contender, to its end."""
    from experiments.benchmark.torch_peers import wait

    def call() -> Any:
        result = function(*inputs)
        wait()
        return result

    return call


def _timed(work: str, contenders: dict[str, Callable[[], Any]], rounds: int, flop: float | None) -> list[Row]:
    timings = interleaved(contenders, rounds)
    rows: list[Row] = []
    for name, timing in timings.items():
        row: Row = {"work": work, "contender": name, "seconds": timing.median, "rounds": rounds}
        if flop is not None:
            row["gigaflop_per_second"] = flop / timing.median
        if _LOOP in timings:
            row["speed_up"] = timing.speed_up(timings[_LOOP])
        if name != _PRODUCT:
            row["product_is_faster_by"] = timings[_PRODUCT].speed_up(timing)
        rows.append(row)
    return rows


def _processes(torch: bool) -> dict[str, Row]:
    """Setting a in fresh processes: with an empty compile cache, with a filled one, and the PyTorch loop."""
    module = "experiments.benchmark.process"
    devices = jax.device_count()
    with tempfile.TemporaryDirectory() as cache:
        found = {
            "product, empty cache": fresh_process(module, "product", "a", cache, devices=devices),
            "product, from the cache": fresh_process(module, "product", "a", cache, devices=devices),
        }
    if torch:
        found[_LOOP] = fresh_process(module, "torch", "a")
    return found


def _devices() -> dict[str, float]:
    """Seconds of setting c (32 tasks) on 1, 2, 4 and 8 forced host devices: the same work in all."""
    module = "experiments.benchmark.process"
    return {str(count): fresh_process(module, "product", "c", devices=count)["seconds"] for count in (1, 2, 4, 8)}


def _machine() -> Row:
    return {
        "devices": [str(device) for device in jax.devices()],
        "cores": len(os.sched_getaffinity(0)),
        "platform": platform.platform(),
        "jax": jax.__version__,
        "float": str(jnp.zeros(()).dtype),
    }


def _show(console: Console, result: Row) -> None:
    if result["rows"]:
        columns = (
            "work",
            "contender",
            "seconds",
            "GFLOP/s",
            "x PyTorch loop",
            "product is faster by",
            "gradient error",
        )
        table = Table(*columns)
        for row in result["rows"]:
            figures = (row.get("gigaflop_per_second"), row.get("speed_up"), row.get("product_is_faster_by"))
            cells = ["" if value is None else f"{value:.2f}" for value in figures]
            error = f"{row['gradient_error']:.0e}" if "gradient_error" in row else ""
            table.add_row(row["work"], row["contender"], f"{row['seconds']:.3f}", *cells, error)
        console.print(table)
        own = [r["speed_up"] for r in result["rows"] if r["contender"] == _PRODUCT and "second order" in r["work"]]
        if own:
            mean = float(np.exp(np.mean(np.log(own))))
            console.print(f"second order, geometric mean over a, b, c: {mean:.2f} times the PyTorch loop")
    for name, value in result.get("ceilings", {}).items():
        console.print(f"one device at best: {name} {value:.0f}")
    for name, row in result.get("process", {}).items():
        memory, compiled = row["peak_megabytes"], row["compile_seconds"]
        console.print(
            f"fresh process, {name}: peak {memory:.0f} MB, compile {compiled:.1f} s, {row['seconds']:.3f} s a call"
        )
    for count, seconds in result.get("devices", {}).items():
        console.print(f"setting c on {count} host devices: {seconds:.3f} s")
    for count, seconds in result.get("hosts", {}).items():
        console.print(f"the same training by {count} process(es) on all cores: {seconds:.1f} s")
    if "folds_per_second" in result:
        console.print(f"small folds of 5 steps, trained a second: {result['folds_per_second']:.1f}")
    for name, value in result.get("exponents", {}).items():
        console.print(f"seconds grow as {name}^{value} at the largest sizes")


if __name__ == "__main__":
    sys.exit(main())
