"""Effect of each part of the method: one setting of `lightman` changed at a time.

Synthetic subjects are used with few labelled clips (an eighth, twelve) and with all. The macro clips are those of the training
subjects, those of other subjects, or the magnified training clips. The flow release has no macro clips, so the training clips are
always magnified there.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from experiments.claims.contenders import Contender, evaluate
from experiments.claims.subjects import flow_subjects, keep_clips, share, synthetic_subjects
from experiments.claims.sweep import Row, Study, finish_figure, make_row, sweep
from experiments.reporting.figures import draw_interval
from lightman_jax.networks.dual_branch import NetworkConfig

LIGHTMAN = Contender("lightman")
_FORMS = ("cosine", "l2", "prototype", "triplet", "mmd", "spatial")
_BACKBONES = ("conv4", "ststnet")


def _changed(name: str, **changes: object) -> Contender:
    return Contender(name, changes=tuple(changes.items()))


CHANGES = (
    Contender("no auxiliary branch (maml)", "maml"),
    Contender("no auxiliary branch, no inner loop (joint)", "joint"),
    _changed("auxiliary branch, no inner loop", inner_steps=0),
    _changed("adapted parameters only in the outer loss (pre = 0)", initial_weight=0.0),
    _changed("first order", first_order=True),
    *(_changed(f"{steps} inner steps", inner_steps=steps) for steps in (2, 3, 5)),
    *(_changed(f"inner learning rate {lr:g}", inner_lr=lr) for lr in (0.01, 0.2)),
    _changed("learned inner learning rates", learned_lr="leaf"),
    *(_changed(f"lambda = mu = {w:g}", inner_alignment=w, outer_alignment=w) for w in (0.1, 2.0)),
    _changed("no alignment in the inner loop (lambda = 0)", inner_alignment=0.0),
    _changed("no alignment in the outer loop (mu = 0)", outer_alignment=0.0),
    _changed("no gradient through macro embeddings", stop_macro=True),
    *(_changed(f"alignment {form}", alignment=form) for form in _FORMS),
    *(dataclasses.replace(LIGHTMAN, name=f"{n} macro clips per class", macro_shots=n) for n in (1, 6)),
    dataclasses.replace(LIGHTMAN, name="macro labels shuffled", macro_labels="shuffled"),
    *(Contender(f"network {name}", network=(("backbone", name), ("normalisation", "group"))) for name in _BACKBONES),
)
SOURCES = (
    dataclasses.replace(LIGHTMAN, name="magnified training clips as macro clips", macro="none"),
    Contender("joint, macro clips as labelled clips", "joint", macro="labelled"),
)
OTHERS = dataclasses.replace(LIGHTMAN, name="macro clips of other subjects")


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows."""
    if data_dir is not None:
        yield from sweep("all clips", [("", flow_subjects(data_dir))], (LIGHTMAN, *CHANGES), network)
        return
    own, others = synthetic_subjects(), synthetic_subjects(macro_subjects="others")
    for panel, part in (("an eighth of the clips", 0.125), ("all clips", 1.0)):
        few, few_others = keep_clips(own, share(part)), keep_clips(others, share(part))
        yield from sweep(panel, [("", few)], (LIGHTMAN, *CHANGES, *SOURCES), network)
        # The test subjects are the same, so that the difference is paired.
        reference = evaluate(LIGHTMAN, few, network).counts
        yield make_row(panel, "", OTHERS, few_others, evaluate(OTHERS, few_others, network).counts, reference)


def draw(path: Path, rows: list[Row], title: str, data: str) -> None:
    """Draw the change of UF1 by each setting with its interval; dark where the interval excludes 0."""
    shown = [row for row in rows if row.difference is not None]
    panels = list(dict.fromkeys(row.panel for row in shown))
    most = max(sum(row.panel == panel for row in shown) for panel in panels)
    figure = Figure(figsize=(max(5.2 * len(panels), 7.0), 0.28 * most + 1.7), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True)
    for axes, panel in zip(grid.flat, panels, strict=True):
        own = [row for row in shown if row.panel == panel]
        for place, row in enumerate(own):
            low, high = row.interval or (0.0, 0.0)
            draw_interval(axes, place, -(row.difference or 0.0), (-high, -low), significant=low > 0 or high < 0)
        axes.set_yticks(range(len(own)), [row.contender for row in own], fontsize=8)
        axes.invert_yaxis()
        axes.axvline(0, color="black", linewidth=0.8)
        axes.grid(axis="x", alpha=0.3)
        first = next(row for row in rows if row.panel == panel and row.difference is None)
        axes.set_title(f"{panel} ({first.contender}: {first.mean:.3f})", fontsize=10)
        axes.set_xlabel("worse  ◂  change of UF1  ▸  better")
    finish_figure(figure, None, path, title, data)


STUDY = Study("What does each part of the method contribute?", run, draw=draw)
