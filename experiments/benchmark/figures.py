"""Figures of the benchmark."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.benchmark.growth import Point, exponent
from experiments.benchmark.timings import PRODUCT
from experiments.reporting.figures import save_figure


def save_speed_figure(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Draw the speed relative to the PyTorch loop: one bar per work and contender."""
    figure = Figure(figsize=(8, 0.45 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['work']}: {row['contender']}" for row in rows]
    values = [float(str(row["speed_up"])) for row in rows]
    bars = axes.barh(names, values, color=["#2b6cb0" if row["contender"] == PRODUCT else "#a0aec0" for row in rows])
    axes.bar_label(bars, [f"{value:.2f}x" for value in values], padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_xlabel("speed relative to the PyTorch loop (median of interleaved rounds)")
    save_figure(path, figure)


def save_growth_figure(path: Path, points: Sequence[Point]) -> None:
    """Draw seconds and temporary memory per device over size; titles contain the exponent at the largest sizes."""
    names = list(dict.fromkeys(point.axis for point in points))
    figure = Figure(figsize=(3.2 * len(names), 5.6), layout="constrained")
    panels = figure.subplots(2, len(names), squeeze=False)
    for column, name in enumerate(names):
        own = [point for point in points if point.axis == name]
        sizes = [point.size for point in own]
        rows = ([p.seconds for p in own], [p.temporary_bytes / 1e6 for p in own])
        for axes, values in zip(panels[:, column], rows, strict=True):
            if not any(values):
                axes.axis("off")
                continue
            axes.plot(sizes, values, "o-", color="#2b6cb0")
            axes.set_xscale("symlog" if min(sizes) == 0 else "log", base=2)
            axes.set_yscale("log")
            axes.set_ylim(min(values) / 2, max(values) * 2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.grid(alpha=0.3)
        panels[0, column].set_title(f"{name.replace('_', ' ')}: exponent {exponent(own):.2f}", fontsize=10)
    panels[0, 0].set_ylabel("seconds")
    panels[1, 0].set_ylabel("temporary MB per device")
    save_figure(path, figure)
