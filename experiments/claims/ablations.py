"""What each part of the method brings: one setting of `lightman` changed at a time.

    python -m experiments.claims ablations
    python -m experiments.claims ablations --data_dir=FLOW

On invented people with few labelled clips (an eighth, twelve) and with all; macro clips are those of the people who are trained
on, of strangers, or the training clips magnified. The flow release has no macro clips: there they are always the magnified
ones.

Wall time on 2 cores: 9 minutes; on the flow release 10. To be expected: most settings make no difference that these rounds can
show; a change outside its interval in one panel of some thirty rows is what chance brings.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from experiments.claims.learners import Learner, evaluate
from experiments.claims.people import People, invent_people, keep_clips, real_people, share
from experiments.claims.sweep import Row, make_row, print_rows, save_differences, sweep
from lightman_jax.networks.dual_branch import NetworkConfig

TITLE = "What does each part of the method bring?"
LIGHTMAN = Learner("lightman")
_FORMS = ("cosine", "l2", "prototype", "triplet", "mmd", "spatial")
_BACKBONES = ("conv4", "ststnet")


def _changed(name: str, **changes: object) -> Learner:
    return Learner(name, changes=tuple(changes.items()))


CHANGES = (
    Learner("no auxiliary branch (maml)", "maml"),
    Learner("no auxiliary branch, no level one (joint)", "joint"),
    _changed("auxiliary branch, no level one", inner_steps=0),
    _changed("level one alone in the outer loss (pre = 0)", initial_weight=0.0),
    _changed("first order", first_order=True),
    *(_changed(f"{steps} inner steps", inner_steps=steps) for steps in (2, 3, 5)),
    *(_changed(f"inner rate {rate:g}", inner_lr=rate) for rate in (0.01, 0.2)),
    _changed("learnt inner rates", learned_lr="leaf"),
    *(_changed(f"lambda = mu = {w:g}", inner_alignment=w, outer_alignment=w) for w in (0.1, 2.0)),
    _changed("no alignment in level one (lambda = 0)", inner_alignment=0.0),
    _changed("no alignment in level two (mu = 0)", outer_alignment=0.0),
    _changed("macro embeddings held fixed", stop_macro=True),
    *(_changed(f"alignment {form}", alignment=form) for form in _FORMS),
    *(dataclasses.replace(LIGHTMAN, name=f"{n} macro clips a class", macro_shots=n) for n in (1, 6)),
    dataclasses.replace(LIGHTMAN, name="macro labels shuffled", macro_labels="shuffled"),
    *(Learner(f"network {name}", network=(("backbone", name), ("normalisation", "group"))) for name in _BACKBONES),
)
SOURCES = (
    dataclasses.replace(LIGHTMAN, name="training clips magnified as macro clips", macro="none"),
    Learner("joint, macro clips as labelled clips", "joint", macro="labelled"),
)
STRANGERS = dataclasses.replace(LIGHTMAN, name="macro clips of strangers")


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Every row, as it is done."""
    if data_dir is not None:
        yield from sweep("all clips", [("", real_people(data_dir))], (LIGHTMAN, *CHANGES), network)
        return
    own, strangers = invent_people(People()), invent_people(People(), "strangers")
    for panel, part in (("an eighth of the clips", 0.125), ("all clips", 1.0)):
        few, others = keep_clips(own, share(part)), keep_clips(strangers, share(part))
        yield from sweep(panel, [("", few)], (LIGHTMAN, *CHANGES, *SOURCES), network)
        # The people who are tested are the same, so that the difference is one of pairs.
        reference, counts = (
            evaluate(learner, stage, network).counts for learner, stage in ((LIGHTMAN, few), (STRANGERS, others))
        )
        yield make_row(panel, "", STRANGERS, others, counts, reference)


def show(console: Console, rows: list[Row]) -> None:
    """The tables."""
    print_rows(console, rows, TITLE)


def draw(path: Path, rows: list[Row], data: str) -> None:
    """The picture."""
    save_differences(path, rows, TITLE, data)
