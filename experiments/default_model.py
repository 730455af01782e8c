"""`python -m experiments.default_model --geometry=FOLDER [--data_dir=FLOW] [--out=FILE]`: train the default model of the package.

The networks are trained on simulated expressions alone (`lightman_jax.model.default_model`): those of the package on measured
heads, without --geometry on built-in patches. The same command gives the same predictions. With --data_dir, the folder of the
public flow release, they are scored on its clips, and the scores become part of the file. Write a file for the package with the
oldest supported JAX, since later ones can read it.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.cli.commands import run_command
from experiments.cli.config import DataConfig
from experiments.cli.flags import CommandParser
from experiments.cli.runtime import DEFAULT_DATA_CACHE, set_up_jax
from experiments.cli.terminal import make_console
from experiments.evaluation.data import load_data
from experiments.evaluation.model_scores import measurement_of, predict_with_model
from experiments.evaluation.scores import score_predictions
from lightman_jax.data.synthetic.face_geometry import neutral_file
from lightman_jax.files import user_path
from lightman_jax.model import DEFAULT_MODEL
from lightman_jax.model.default_model import PATCH_RECIPE, RECIPE, train_default_model
from lightman_jax.model.export import export_ensemble

_RELEASE = "megc2019"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status as in `run_command`."""
    return run_command("experiments.default_model", argv, _run, remedy="Choose a writable file by --out")


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("default_model", __doc__)
    parser.add_argument(
        "--data_dir", metavar="FLOW", help="folder of the public flow release, or FIRST,SECOND [not measured]"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(DEFAULT_MODEL.name), metavar="FILE", help=f"output file [{DEFAULT_MODEL.name}]"
    )
    parser.add_argument(
        "--geometry", type=Path, metavar="FOLDER", help="folder of ICT-FaceKit as cloned [built-in patches]"
    )
    options = parser.parse_args(words)
    set_up_jax(DEFAULT_DATA_CACHE)
    console = make_console()
    folder = options.geometry
    config = PATCH_RECIPE if folder is None else RECIPE.with_geometry(neutral_file(user_path(folder)).absolute())
    trained = train_default_model(config, console.print)
    if options.data_dir is not None:
        prepared = load_data(DataConfig(_RELEASE, options.data_dir, motion=config.motion), console.print)
        rows = predict_with_model(trained.opened(), prepared)
        scores = score_predictions(rows, prepared.micro.classes, len(set(prepared.micro.subject)))
        card = dataclasses.replace(trained.card, measured=measurement_of(scores, prepared))
        console.print(f"measured: {card.measured}")
        trained = trained._replace(card=card)
    export_ensemble(options.out, *trained)
    console.print(f"{trained.card.networks} networks, trained on {trained.card.origin}")
    console.print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
