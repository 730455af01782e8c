"""Pictures of the benchmark."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from experiments.benchmark.growth import Point, exponent


def save_speed_picture(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Bars: how many times faster than the PyTorch loop, one bar for each work and contender."""
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(rows) + 1.2), layout="constrained")
    names = [f"{row['work']}: {row['contender']}" for row in rows]
    values = [float(str(row["speed_up"])) for row in rows]
    bars = axes.barh(names, values, color=["#2b6cb0" if "product" in name else "#a0aec0" for name in names])
    axes.bar_label(bars, [f"{value:.2f}x" for value in values], padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_xlabel("times the speed of the PyTorch loop (median of interleaved rounds)")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def save_growth_picture(path: Path, points: Sequence[Point]) -> None:
    """Seconds over size for each axis, both logarithmic, with the exponent between the two largest sizes."""
    names = list(dict.fromkeys(point.axis for point in points))
    figure, panels = plt.subplots(1, len(names), figsize=(3.2 * len(names), 3.2), layout="constrained")
    for axes, name in zip(panels, names, strict=True):
        own = [point for point in points if point.axis == name]
        axes.plot([p.size for p in own], [p.seconds for p in own], "o-", color="#2b6cb0")
        axes.set_xscale("symlog" if min(p.size for p in own) == 0 else "log", base=2)
        axes.set_yscale("log")
        axes.set_title(f"{name.replace('_', ' ')}: exponent {exponent(own):.2f}", fontsize=10)
        axes.set_xticks([p.size for p in own], [str(p.size) for p in own])
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("seconds")
    figure.savefig(path, dpi=120)
    plt.close(figure)
