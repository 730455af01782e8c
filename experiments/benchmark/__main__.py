"""Speed of the bi-level update compared with PyTorch and plain JAX, after a comparison of their gradients."""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

from experiments.benchmark import timings
from experiments.benchmark.figures import save_growth_figure, save_speed_figure
from experiments.benchmark.growth import Point, exponent, measure_growth, measure_pixels
from experiments.benchmark.hardware import measure_ceilings
from experiments.benchmark.hosts import measure_hosts
from experiments.benchmark.measure import fresh_process
from experiments.benchmark.timings import LOOP, ORDERS, PRODUCT, Row
from experiments.benchmark.work import SETTINGS
from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser, whole_number
from experiments.cli.runtime import set_up_jax
from experiments.cli.terminal import PlainConsole
from experiments.evaluation.run_record import describe_machine
from lightman_jax.files import write_atomic

PARTS = ("ceilings", "update", "peers", "precision", "process", "devices", "hosts", "growth", "pixels")
_PROCESS = "experiments.benchmark.process"
_PROCESSED = ("a", "b", "resnet18")
_TOLERANCE = 1e-10


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print tables, and write `benchmark.json` with its figures; 1 if the gradients differ."""
    return run_command("experiments.benchmark", argv, _run, remedy="Give a writable folder by --workdir")


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("benchmark", __doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; can be repeated")
    parser.add_argument(
        "--work", type=_names(SETTINGS), default=tuple(SETTINGS), help="settings of `update`, for example a,b"
    )
    parser.add_argument("--order", type=_names(ORDERS), default=ORDERS, help=f"of {', '.join(ORDERS)}, those to time")
    parser.add_argument("--rounds", type=whole_number(1), default=9, help="interleaved rounds")
    parser.add_argument("--workdir", type=Path, default=Path("runs/benchmark"), help="folder of the results")
    options = parser.parse_args(words)
    console = PlainConsole(width=110)
    # PyTorch needs memory on the same GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    set_up_jax()
    # Stored programs would shorten the measured compilation.
    jax.config.update("jax_compilation_cache_dir", None)
    torch = importlib.util.find_spec("torch") is not None
    if not torch:
        console.print("PyTorch is not installed: its rows are left out (pip install torch)")
    result: Row = {"hardware": describe_machine()}
    if not options.part or {"update", "peers"} & {*options.part}:
        checked = options.work if not options.part or "update" in options.part else ("a",)
        result["gradient_difference"] = timings.compare_gradients(checked, options.order, torch)
        console.print("relative difference from the gradient of lightman_jax, float64:", result["gradient_difference"])
        if max(result["gradient_difference"].values()) > _TOLERANCE:
            console.print(f"gradients differ by more than {_TOLERANCE}: nothing is timed", style="bold red")
            return 1
    result |= _measure(options, torch)
    write_atomic(options.workdir / "benchmark.json", json.dumps(result, indent=1) + "\n")
    _show(console, result)
    console.print(f"results: {options.workdir} (benchmark.json, figures)")
    return 0


def _names(allowed: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Parser of names separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(allowed)}")
        return names

    return parse


def _measure(options: argparse.Namespace, torch: bool) -> Row:
    parts, rounds, workdir = options.part or PARTS, options.rounds, options.workdir
    workdir.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    result: Row = {"rows": rows}
    if "ceilings" in parts:
        result["ceilings"] = measure_ceilings()
    if "update" in parts:
        rows += timings.time_updates(options.work, options.order, rounds, torch)
    if "peers" in parts:
        rows += timings.time_formulations(torch)
    if "precision" in parts:
        rows += timings.time_precisions(rounds)
    compared = [row for row in rows if "speed_up" in row]
    if compared:
        save_speed_figure(workdir / "speed.png", compared)
    if "process" in parts:
        result["process"] = _processes([name for name in _PROCESSED if name in options.work], torch)
    if "devices" in parts:
        # The same work, 32 tasks, on different numbers of forced host devices.
        counts = (1, 2, 4, 8)
        result["devices"] = {n: fresh_process(_PROCESS, PRODUCT, "c", devices=n)["seconds"] for n in counts}
    if "hosts" in parts and jax.default_backend() == "cpu":
        result["hosts"] = measure_hosts(jax.device_count())
    if "growth" in parts:
        points = measure_growth()
        result["growth"] = [point._asdict() for point in points]
        axes = dict.fromkeys(point.axis for point in points)
        result["exponents"] = {name: exponent([p for p in points if p.axis == name]) for name in axes}
        result["folds_per_second"] = max(p.size / p.seconds for p in points if p.axis == "folds")
        save_growth_figure(workdir / "growth.png", points)
    if "pixels" in parts:
        points = measure_pixels()
        result["pixels"] = [point._asdict() for point in points]
        save_growth_figure(workdir / "pixels.png", points)
    return result


def _processes(names: Sequence[str], torch: bool) -> dict[str, Row]:
    """Settings in fresh processes: with an empty compile cache, with a filled one, and the PyTorch loop."""
    devices, found = jax.device_count(), {}
    for name in names:
        with tempfile.TemporaryDirectory() as cache:
            for state in ("empty", "filled"):
                row = fresh_process(_PROCESS, PRODUCT, name, cache, devices=devices)
                found[f"{name}, {PRODUCT}, {state} cache"] = row
        if torch:
            found[f"{name}, {LOOP}"] = fresh_process(_PROCESS, "torch", name)
    return found


def _show(console: Console, result: Row) -> None:
    if result["rows"]:
        figures = ("gigaflop_per_second", "speed_up", "lightman_jax_speed_up")
        heads = ("seconds", "GFLOP/s", "x PyTorch loop", "speed-up of lightman_jax", "gradient error")
        table = Table("work", "contender", *heads)
        for row in result["rows"]:
            cells = [f"{row[name]:.2f}" if name in row else "" for name in figures]
            error = f"{row['gradient_error']:.0e}" if "gradient_error" in row else ""
            table.add_row(row["work"], row["contender"], f"{row['seconds']:.3f}", *cells, error)
        console.print(table)
        second = [row for row in result["rows"] if row["contender"] == PRODUCT and "second order" in row["work"]]
        own = [row["speed_up"] for row in second if "speed_up" in row and row["work"][:2] in ("a,", "b,", "c,")]
        if own:
            mean = statistics.geometric_mean(own)
            console.print(f"second order, geometric mean over a, b, c: {mean:.2f} times the PyTorch loop")
    for name, value in result.get("ceilings", {}).items():
        console.print(f"limit of one device: {name} {value:.0f}")
    for name, row in result.get("process", {}).items():
        console.print(
            f"fresh process, {name}: peak {row['peak_megabytes']:.0f} MB, first call {row['first_call_seconds']:.1f} s "
            f"(compiling {row['compile_seconds']:.1f} s), later {row['seconds']:.3f} s"
        )
    for count, seconds in result.get("devices", {}).items():
        console.print(f"setting c on {count} host devices: {seconds:.3f} s")
    for count, seconds in result.get("hosts", {}).items():
        console.print(f"the same training by {count} process(es) on all cores: {seconds:.1f} s")
    if "folds_per_second" in result:
        console.print(f"small folds of 5 steps, trained per second: {result['folds_per_second']:.1f}")
    for name, value in result.get("exponents", {}).items():
        console.print(f"seconds grow as {name}^{value} at the largest sizes")
    if "pixels" in result:
        _show_pixels(console, [Point(**row) for row in result["pixels"]])


def _show_pixels(console: Console, points: Sequence[Point]) -> None:
    """Table of seconds and temporary memory by backbone and side, with exponents over all sides."""
    sides = sorted({round(point.size**0.5) for point in points})
    table = Table("backbone", *(f"{side} px" for side in sides), "seconds ~ pixels^", "memory ~ pixels^")
    for name in dict.fromkeys(point.axis for point in points):
        own = [point for point in points if point.axis == name]
        cells = [f"{point.seconds:.3f} s, {point.temporary_bytes / 1e6:.0f} MB" for point in own]
        table.add_row(name, *cells, *(f"{exponent(own, len(own), memory=memory):.2f}" for memory in (False, True)))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
