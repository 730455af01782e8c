"""Comparison of device and CPU, and the tables of `accelerator`."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmark.timings import LOOP
from experiments.evaluation.prediction_table import read_predictions

Row = dict[str, Any]
GRADIENT_TOLERANCE = 1e-9
# Times the PyTorch loop on the same card, and seconds of leave-one-subject-out with 40 subjects and 5 seeds.
SPEED_GOALS = {"a": 10.0, "b": 5.0}
LOSO_GOAL = 60.0
_CEILINGS = {"bfloat16": "matmul bfloat16, GFLOP/s", "highest": "matmul float32, GFLOP/s"}


def report(result: Row, workdir: Path) -> tuple[str, bool]:
    """Add the comparisons with the CPU to `result`; returns the report and whether every part ended and the gradients agree."""
    console = Console(file=io.StringIO(), width=130, force_terminal=False)
    parts, device = result["parts"], result["device"]
    console.print(f"{device['backend']}, {device['kind']}, {len(device['devices'])} device(s); {device['packages']}")
    console.print(f"float32 products, relative error: {_numbers(device['float32'])}")
    if result["small"]:
        console.print("small work: its figures are no measure of speed")
    good = _compare(console, result, workdir)
    ceilings = parts.get("ceilings", {}).get("ceilings", {})
    for name, value in ceilings.items():
        console.print(f"limit of one device: {name} {value:.0f}")
    for name, part in parts.items():
        if "rows" in part:
            _show_rows(console, name, part, ceilings)
    if "folds_per_second" in parts.get("folds", {}):
        console.print(f"small folds of 5 steps, trained per second: {parts['folds']['folds_per_second']:.1f}")
    for name, row in parts.get("loso", {}).items():
        if name in ("first", "second"):
            text = f"{row['run_seconds']:.1f} s (goal {LOSO_GOAL:.0f} s), training {row['training_seconds']:.1f} s"
            text += f", UF1 {row['uf1']:.3f}"
            console.print(f"leave-one-subject-out, {name} run: {text}")
    for name, part in parts.items():
        if "error" in part:
            good = False
            console.print(f"FAILED {name}: {part['error'].strip().splitlines()[-1]}", markup=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), good


def _compare(console: Console, result: Row, workdir: Path) -> bool:
    """Gradients and predictions of the device against those of the CPU."""
    parts, good = result["parts"], True
    if all("cases" in parts.get(name, {}) for name in ("gradients", "gradients, CPU")):
        own, cpu = (np.load(workdir / f"{name}.npz") for name in ("gradients", "gradients, CPU"))
        found = {name: float(np.linalg.norm(own[name] - cpu[name]) / np.linalg.norm(cpu[name])) for name in cpu.files}
        result["gradient_difference"] = found
        good = max(found.values()) <= GRADIENT_TOLERANCE
        verdict = "agree" if good else "DIFFER"
        console.print(
            f"float64 gradients {verdict} with the CPU's to {max(found.values()):.0e} (limit {GRADIENT_TOLERANCE:.0e})"
        )
        if not good:
            console.print(_numbers(found))
    reference = parts.get("predictions, CPU", {}).get("folder")
    for name in ("predictions", "predictions, default precision"):
        if reference and "folder" in parts.get(name, {}):
            found = result[f"{name} against CPU"] = _difference(Path(parts[name]["folder"]), Path(reference))
            console.print(f"{name} against the CPU's: {_numbers(found)}")
    return good


def _difference(own: Path, cpu: Path) -> Row:
    """How two tables of the same clips differ."""
    first, second = ({(r.clip, r.seed): r for r in read_predictions(f / "predictions.csv")[0]} for f in (own, cpu))
    pairs = [(first[key], second[key]) for key in second]
    apart = [abs(a - b) for one, other in pairs for a, b in zip(one.probabilities, other.probabilities, strict=True)]
    equal = sum(one.prediction == other.prediction for one, other in pairs)
    return {"clips": len(pairs), "same_class": equal / len(pairs), "largest_probability_difference": max(apart)}


def _show_rows(console: Console, name: str, part: Row, ceilings: Row) -> None:
    loops = [key for row in part["rows"] for key in row if key.startswith("speed_up over")]
    loops = list(dict.fromkeys(loops))
    heads = (
        "seconds",
        "GFLOP/s",
        "of limit",
        *(f"x {key[14:]}" for key in loops),
        "error",
        "MB",
        "compile s",
        "rounds",
    )
    table = Table(f"setting {name}", *heads)
    for row in part["rows"]:
        precision = row["contender"].rsplit(", ", 1)[-1]
        limit = ceilings.get(
            _CEILINGS.get(precision, "matmul float32 by default, GFLOP/s"), ceilings.get(_CEILINGS["highest"])
        )
        share = f"{row['gigaflop_per_second'] / limit:.1%}" if limit else ""
        numbers = [f"{row[key]:.2f}" for key in loops]
        other = [
            f"{row[key]:{form}}" if key in row else ""
            for key, form in (("gradient_error", ".0e"), ("temporary_megabytes", ".0f"), ("compile_seconds", ".1f"))
        ]
        table.add_row(
            row["contender"],
            f"{row['seconds']:.4f}",
            f"{row['gigaflop_per_second']:.0f}",
            share,
            *numbers,
            *other,
            str(row["rounds"]),
        )
    console.print(table)
    if part["note"]:
        console.print(part["note"])
    for form, error in part["failed"].items():
        console.print(f"not timed: {form}: {error}", markup=False)
    _suggest(console, name, part["rows"], loops)


def _suggest(console: Console, name: str, rows: list[Row], loops: list[str]) -> None:
    """Print whether `auto` is the fastest form at its precision, and the speed next to its goal."""
    own = {row["contender"]: row for row in rows if not row["contender"].startswith(("PyTorch", "torch"))}
    auto = own.get("auto, tasks by auto, default")
    if auto is None:
        return
    for precision in ("default", "bfloat16"):
        same = [row for row in own.values() if row["contender"].endswith(precision) and row is not auto]
        if same:
            best = min(same, key=lambda row: row["seconds"])
            ratio = auto["seconds"] / best["seconds"]
            console.print(f"{name}: fastest with {precision}: {best['contender']}, {ratio:.2f} times as fast as auto")
    if name in SPEED_GOALS and loops:
        key = next((key for key in loops if key.endswith("tf32")), loops[0])
        console.print(f"{name}: auto is {auto[key]:.1f} times as fast as the {LOOP} (goal {SPEED_GOALS[name]:.0f})")


def _numbers(found: Row) -> str:
    return ", ".join(
        f"{name} {value:.1e}" if isinstance(value, float) and value < 0.01 else f"{name} {value:.4g}"
        for name, value in found.items()
    )
