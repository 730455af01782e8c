"""What it costs: parameters, work, time and memory of each network and method, on the machine at hand.

    python -m experiments.claims efficiency

One fold of the size of the flow release's (270 clips of 28x28x3) on one device, the default settings. Training is a hundred
outer steps, by the median of ten; adapting is five inner steps on three clips of a person; predicting is one clip. Compiling is
left out. Work is what the compiler counts for one clip's way through the network; memory what one outer step needs beside the
data.

Wall time on 2 cores: 3 minutes. To be expected: level one costs `maml` two and `lightman` three times the training of `joint`,
and nothing afterwards; the dense network trains an order of magnitude faster than Conv4.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from experiments.claims.learners import ADAPT_STEPS
from experiments.claims.sweep import finish_figure
from experiments.evaluation.machines import fit_one
from lightman_jax.meta.adaptation import adapt_and_predict
from lightman_jax.meta.methods import MethodConfig, make_method, method_config
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import Fold
from lightman_jax.training.tasks import Pool, draw_task_batch
from lightman_jax.types import Clips, ClipSet

TITLE = "What does it cost?"
METHODS = ("joint", "maml", "lightman")
CLIPS, SIDE, CLASSES, REPEATS = 270, 28, 3, 10
_OTHERS = tuple(
    NetworkConfig(backbone=name, normalisation="group") for name in ("ststnet", "conv4", "offapexnet", "resnet12")
)


class Cost(NamedTuple):
    """One network under one method; None where there is no such thing."""

    network: str
    method: str
    parameters: int
    mflop_clip: float | None
    training_seconds: float
    adapt_ms: float | None
    predict_ms: float
    step_megabytes: float | None


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Cost]:
    """Every row, as it is done; the data play no part."""
    del data_dir
    rng = np.random.default_rng(0)
    images = rng.normal(size=(CLIPS, SIDE, SIDE, 3)).astype(np.float32)
    labels = np.arange(CLIPS, dtype=np.int32) % CLASSES
    yield _machine_cost(images, labels)
    for config in dict.fromkeys((network, *_OTHERS)):
        for method in METHODS:
            yield _network_cost(config, method, images, labels)


def show(console: Console, rows: list[Cost]) -> None:
    """The table."""
    table = Table(title=f"{TITLE} One fold of {CLIPS} clips, {jax.default_backend()}")
    for column in (
        "network",
        "method",
        "parameters",
        "Mflop a clip",
        "training s",
        "adapting ms",
        "predicting ms",
        "MB a step",
    ):
        table.add_column(column, justify="left" if column in ("network", "method") else "right")
    for row in rows:
        cells = [row.mflop_clip, row.training_seconds, row.adapt_ms, row.predict_ms, row.step_megabytes]
        table.add_row(row.network, row.method, f"{row.parameters:,}", *("" if x is None else f"{x:.3g}" for x in cells))
    console.print(table)


def draw(path: Path, rows: list[Cost], data: str) -> None:
    """The picture: a panel a cost, a bar a network and method."""
    panels: dict[str, list[Any]] = {
        "parameters": [row.parameters for row in rows],
        "training one fold, seconds": [row.training_seconds for row in rows],
        "adapting to three clips, ms": [row.adapt_ms for row in rows],
        "predicting one clip, ms": [row.predict_ms for row in rows],
        "memory of one step, MB": [row.step_megabytes for row in rows],
    }
    figure, grid = plt.subplots(
        1, len(panels), figsize=(3.1 * len(panels), 0.3 * len(rows) + 1.6), layout="constrained", sharey=True
    )
    names = [f"{row.network}, {row.method}".removesuffix(", ") for row in rows]
    methods = list(dict.fromkeys(row.method for row in rows))
    for axes, (title, values) in zip(grid, panels.items(), strict=True):
        for place, (row, value) in enumerate(zip(rows, values, strict=True)):
            if value is not None:
                axes.barh(place, value, color=f"C{methods.index(row.method)}")
                axes.text(value, place, f" {value:.3g}" if value < 1000 else f" {value:,.0f}", va="center", fontsize=7)
        axes.set_xscale("log")
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.35)
    grid[0].set_yticks(range(len(names)), names, fontsize=8)
    grid[0].invert_yaxis()
    finish_figure(figure, None, path, f"{TITLE} Logarithmic, shorter is better", data)


def _network_cost(network: NetworkConfig, name: str, images: np.ndarray, labels: np.ndarray) -> Cost:
    train = TrainConfig(network=network, method=method_config(name, MethodConfig()))
    method = make_method(train.method, network, optax.adamw(train.learning_rate, weight_decay=train.weight_decay))
    state = method.init(jax.random.key(0), images.shape[1:], CLASSES)
    pool = Pool(
        image=jnp.asarray(images),
        label=jnp.asarray(labels),
        subject=jnp.arange(CLIPS, dtype=jnp.int32) // 9,
        train=jnp.ones(CLIPS, bool),
    )
    tasks = draw_task_batch(jax.random.key(1), pool, pool, classes=CLASSES, config=train.task)
    update = jax.jit(method.update).lower(state, tasks).compile()
    needed = update.memory_analysis()
    clips = Clips(image=pool.image, label=pool.label, where=pool.train)
    params = jax.jit(method.finish)(state, clips)
    one = pool.image[:1]
    predicted: Callable[[Any, jax.Array], jax.Array] = jax.jit(
        lambda p, x: jax.nn.softmax(apply_branches(p, x, config=network).logits)
    )
    level = dataclasses.replace(train.method.bilevel, inner_steps=ADAPT_STEPS)
    adapting = dataclasses.replace(train.method, bilevel=level)
    support = jax.tree.map(lambda x: x[:CLASSES], clips)
    adapted = jax.jit(lambda p, s, x: adapt_and_predict(p, s, x, config=adapting, network=network))
    return Cost(
        network.backbone,
        name,
        sum(leaf.size for leaf in jax.tree.leaves(params)),
        _flops(predicted.lower(params, one).compile()) / 1e6,  # type: ignore[attr-defined]
        train.steps * _seconds(lambda: update(state, tasks)),
        1e3 * _seconds(lambda: adapted(params, support, one)),
        1e3 * _seconds(lambda: predicted(params, one)),
        needed.temp_size_in_bytes / 1e6 if needed is not None else None,
    )


def _machine_cost(images: np.ndarray, labels: np.ndarray) -> Cost:
    train = np.arange(CLIPS) > 0
    names = tuple(f"costs/p{k // 9}" for k in range(CLIPS)), tuple(f"costs/c{k}" for k in range(CLIPS))
    clips = ClipSet(images, labels, *names, ("negative", "positive", "surprise"))
    fold = Fold("p0", np.array([0]), train, train)
    fit = lambda: fit_one("rbf_svm", clips, fold, 0, "clip_rms")  # noqa: E731
    machine = fit()
    kept = machine.learner.support_.size * images[0].size + machine.learner.dual_coef_.size
    view = images[:1].reshape(1, -1)
    return Cost(
        "RBF machine",
        "",
        kept,
        None,
        _seconds(fit),
        None,
        1e3 * _seconds(lambda: machine.learner.decision_function(view)),
        None,
    )


def _flops(compiled: Any) -> float:
    found = compiled.cost_analysis()
    return float((found[0] if isinstance(found, list) else found)["flops"])


def _seconds(call: Callable[[], Any]) -> float:
    """Median of `REPEATS` calls, after one that is not counted."""
    jax.block_until_ready(call())
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - started)
    return statistics.median(times)
