"""Costs: parameters, operations, time and memory of each network and method, on the present computer.

One fold of the size of the flow release's (270 clips of 28x28x3) on one device, default settings. Training is a hundred outer
steps, from the median of ten; adaptation is five inner steps on three clips of a subject; prediction is one clip. Compilation is
excluded. Operations are the compiler's count for one clip through the network; memory is the temporary memory of one outer step.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments.benchmark.measure import time_call
from experiments.claims.contenders import ADAPT_STEPS
from experiments.claims.subjects import Images
from experiments.claims.sweep import Study, finish_figure
from experiments.evaluation.classical_baselines import fit_one
from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.meta.adaptation import adapt_and_predict
from lightman_jax.meta.method_functions import make_method
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import Fold
from lightman_jax.training.tasks import Pool, draw_task_batch
from lightman_jax.types import Clips, ClipSet

METHODS = ("joint", "maml", "lightman")
CLIPS, SIDE, CLASSES, REPEATS = 270, 28, 3, 10
_NETWORKS = tuple(
    NetworkConfig(backbone=name, normalisation="group") for name in ("ststnet", "conv4", "offapexnet", "resnet12")
)


class Cost(NamedTuple):
    """Costs of one network trained by one method; None where not applicable."""

    network: str
    method: str
    parameters: int
    mflop_clip: float | None
    training_seconds: float
    adapt_ms: float | None
    predict_ms: float
    step_megabytes: float | None


_TITLES = {
    "parameters": "parameters",
    "mflop_clip": "Mflop per clip",
    "training_seconds": "training of one fold, seconds",
    "adapt_ms": "adaptation to three clips, ms",
    "predict_ms": "prediction of one clip, ms",
    "step_megabytes": "memory of one step, MB",
}


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Cost]:
    """Yield the rows, from random clips."""
    del data_dir
    rng = np.random.default_rng(0)
    images = rng.normal(size=(CLIPS, SIDE, SIDE, 3)).astype(np.float32)
    labels = np.arange(CLIPS, dtype=np.int32) % CLASSES
    yield _svm_cost(images, labels)
    for config in dict.fromkeys((network, *_NETWORKS)):
        for method in METHODS:
            yield _network_cost(config, method, images, labels)


def show(console: Console, rows: list[Cost], title: str) -> None:
    """Print the table."""
    table = Table("network", "method", title=f"{title} One fold of {CLIPS} clips, {jax.default_backend()}")
    for name in _TITLES.values():
        table.add_column(name, justify="right")
    for row in rows:
        values = [getattr(row, name) for name in _TITLES]
        table.add_row(row.network, row.method, *("" if x is None else _text(x) for x in values))
    console.print(table)


def draw(path: Path, rows: list[Cost], title: str, data: str) -> None:
    """Draw one panel per cost, with one bar per network and method."""
    panels = [name for name in _TITLES if name != "mflop_clip"]
    figure = Figure(figsize=(3.1 * len(panels), 0.3 * len(rows) + 1.6), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True)
    names = [f"{row.network}, {row.method}".removesuffix(", ") for row in rows]
    methods = list(dict.fromkeys(row.method for row in rows))
    for axes, cost in zip(grid, panels, strict=True):
        for place, row in enumerate(rows):
            value = getattr(row, cost)
            if value is not None:
                axes.barh(place, value, color=f"C{methods.index(row.method)}")
                axes.text(value, place, f" {_text(value)}", va="center", fontsize=7)
        axes.set_xscale("log")
        axes.set_title(_TITLES[cost], fontsize=10)
        axes.margins(x=0.35)
    grid[0].set_yticks(range(len(names)), names, fontsize=8)
    grid[0].invert_yaxis()
    finish_figure(figure, None, path, f"{title} Logarithmic, shorter is better", data)


def _text(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _network_cost(network: NetworkConfig, name: str, images: Images, labels: np.ndarray) -> Cost:
    train = TrainConfig(network=network, method=method_config(name, MethodConfig()))
    method = make_method(train.method, network, optax.adamw(train.learning_rate, weight_decay=train.weight_decay))
    state = jax.jit(lambda key: method.init(key, images.shape[1:], CLASSES))(jax.random.key(0))
    subject, train_mask = jnp.arange(CLIPS, dtype=jnp.int32) // 9, jnp.ones(CLIPS, bool)
    pool = Pool(jnp.asarray(images), jnp.asarray(labels), subject, train_mask)
    draw_tasks = functools.partial(draw_task_batch, classes=CLASSES, config=train.task)
    tasks = jax.jit(draw_tasks)(jax.random.key(1), pool, pool)
    update = jax.jit(method.update).lower(state, tasks).compile()
    memory: Any = update.memory_analysis()
    clips = Clips(image=pool.image, label=pool.label, where=pool.train)
    params = jax.jit(method.finish)(state, clips)
    one = pool.image[:1]
    probabilities = jax.jit(lambda p, x: jax.nn.softmax(apply_branches(p, x, config=network).logits))
    predict = probabilities.lower(params, one).compile()
    operations: Any = predict.cost_analysis()
    bilevel = dataclasses.replace(train.method.bilevel, inner_steps=ADAPT_STEPS)
    adapting = dataclasses.replace(train.method, bilevel=bilevel)
    support = jax.tree.map(lambda x: x[:CLASSES], clips)
    adapt = jax.jit(lambda p, s, x: adapt_and_predict(p, s, x, config=adapting, network=network))
    return Cost(
        network.backbone,
        name,
        sum(leaf.size for leaf in jax.tree.leaves(params)),
        float((operations[0] if isinstance(operations, list) else operations)["flops"]) / 1e6,
        train.steps * _seconds(lambda: update(state, tasks)),
        1e3 * _seconds(lambda: adapt(params, support, one)),
        1e3 * _seconds(lambda: predict(params, one)),
        memory.temp_size_in_bytes / 1e6 if memory is not None else None,
    )


def _svm_cost(images: Images, labels: np.ndarray) -> Cost:
    train = np.arange(CLIPS) > 0
    names = tuple(f"costs/p{k // 9}" for k in range(CLIPS)), tuple(f"costs/c{k}" for k in range(CLIPS))
    clips = ClipSet(images, labels, *names, EMOTIONS_3)
    fold = Fold("p0", np.array([0]), train, train)
    fit = lambda: fit_one("rbf_svm", clips, fold, 0, TrainConfig())  # noqa: E731
    svm = fit().classifier
    stored = svm.support_.size * images[0].size + svm.dual_coef_.size
    predict_ms = 1e3 * _seconds(lambda: svm.decision_function(images[:1].reshape(1, -1)))
    return Cost("RBF SVM", "", stored, None, _seconds(fit), None, predict_ms, None)


def _seconds(call: Callable[[], Any]) -> float:
    return time_call(lambda: jax.block_until_ready(call()), REPEATS).median


STUDY = Study("What does it cost?", run, data="random", show=show, draw=draw)
