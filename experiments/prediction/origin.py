"""What the networks of a model were trained on and what they scored, for the console, the figures and the live window."""

from typing import NamedTuple

from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU
from lightman_jax.model.card import Measurement
from lightman_jax.model.saved_model import Model


class Caution(NamedTuple):
    """A caution about the training data: title and text of a box, and one line in capitals."""

    title: str
    text: str
    line: str


def scores_text(model: Model) -> str:
    """The scores of the networks on clips of a corpus; empty if they were not measured."""
    measured = model.about.get("measured")
    return str(Measurement(**measured)) if measured else ""


def caution_of(model: Model) -> Caution | None:
    """The caution of networks that were trained on stand-in or simulated clips; None for a corpus."""
    about = model.about
    if about["stand_in"]:
        return Caution(
            "TRAINED ON STAND-IN DATA",
            "The networks were trained on synthetic stand-in clips: the predictions below have no meaning for real faces.",
            "TRAINED ON STAND-IN CLIPS: THE PREDICTIONS HAVE NO MEANING FOR REAL FACES",
        )
    if about.get("dataset") != SIMULATED_AU:
        return None
    scores = scores_text(model)
    measured = f"On real clips they scored {scores}" if scores else "They were not measured on real clips"
    return Caution(
        "TRAINED ON SIMULATED CLIPS",
        f"The networks were trained on {about['origin']}. {measured}.",
        f"TRAINED ON SIMULATED CLIPS; {f'ON REAL CLIPS UF1 {_short(about)}' if scores else 'NOT MEASURED ON REAL CLIPS'}",
    )


def _short(about: dict) -> str:
    mean, low, high = about["measured"]["uf1"]
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"
