"""`python -m experiments.evaluate --dataset=NAME --data_dir=FOLDER [--model=WORKDIR|FILE]`: score a trained model on a corpus.

The model predicts all clips of a corpus that it was not trained on, without adaptation. UF1 and UAR have 95% intervals by bootstrap
over subjects, on all clips and on those of each corpus. The classical baselines next to it are trained on the clips of all other
subjects, and the difference to each has a sign-flip test over subjects. Images are computed as the model needs them.
"""

import dataclasses
import sys
from collections.abc import Sequence

from experiments.cli.baseline_names import CLASSICAL_BASELINES
from experiments.cli.commands import run_command
from experiments.cli.config import DataConfig, data_config
from experiments.cli.flags import ConfigError, about_text, as_config_error, own_values, parse_flags, refuse_unknown
from experiments.cli.runtime import set_up_jax
from experiments.cli.terminal import make_console
from experiments.evaluation.comparison import compare_runs
from experiments.evaluation.data import load_data
from experiments.evaluation.model_scores import predict_with_baseline, predict_with_model
from experiments.evaluation.prediction_table import write_predictions
from experiments.evaluation.scores import score_predictions
from experiments.prediction.models import open_model
from experiments.reporting.console import print_model_scores, print_stand_in_box
from lightman_jax.data.preparation.motion_config import MotionConfig
from lightman_jax.files import user_path
from lightman_jax.model import DEFAULT_MODEL

MODEL = "model"
"""Name of the model in the table."""
_MAIN = ("dataset", "data_dir", "labels", "model", "baselines", "out")


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of an evaluation.

    Attributes:
      data: data and labels.
      model: workdir of a run, or a file of experiments.export; default the default model of the package.
      baselines: none, or some of majority, knn, linear_svm, rbf_svm and perceptron, trained on the clips of all other subjects.
      out: folder of the predictions.
    """

    data: DataConfig
    model: str | None = None
    baselines: str = "majority,rbf_svm"
    out: str = "evaluation"

    def __post_init__(self) -> None:
        for name in self.baseline_names:
            refuse_unknown("baseline", name, ("none", *CLASSICAL_BASELINES))
        if self.data.macro:
            raise ConfigError("macro clips are not evaluated; leave --macro out")

    @property
    def baseline_names(self) -> list[str]:
        """Names of the baselines."""
        names = [name.strip() for name in self.baselines.split(",")]
        return [] if names == ["none"] else names


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status as in `run_command`."""
    return run_command("experiments.evaluate", argv, _run, remedy="Choose a writable folder by --out")


def _run(words: Sequence[str]) -> int:
    groups = (("evaluate", EvaluateConfig), ("data", DataConfig))
    values = parse_flags(words, "evaluate", about_text((__doc__ or "").partition("\n")[2]), groups, _MAIN)
    with as_config_error():
        config = EvaluateConfig(data_config(values, MotionConfig()), **own_values(values, EvaluateConfig))
    set_up_jax(config.data.data_cache)
    console = make_console()
    model = open_model(DEFAULT_MODEL if config.model is None else user_path(config.model))
    # Released flow images have the views of the release.
    data = dataclasses.replace(config.data, motion=MotionConfig(**model.about["motion"]))
    prepared = load_data(data, console.print)
    if prepared.manifest.stand_in:
        print_stand_in_box(console, data.dataset)
    micro, out = prepared.micro, user_path(config.out)
    tables = {MODEL: predict_with_model(model, prepared)}
    for name in config.baseline_names:
        console.print(f"baseline {name}: trained on the clips of all other subjects")
        tables[name] = predict_with_baseline(name, prepared)
    files = [out / "predictions.csv", *(out / "baselines" / f"{name}.csv" for name in config.baseline_names)]
    for file, rows in zip(files, tables.values(), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(file, rows, micro.classes)
    comparison = compare_runs(files, list(tables), with_first=True) if len(files) > 1 else None
    scores = {name: score_predictions(rows, micro.classes, len(set(micro.subject))) for name, rows in tables.items()}
    print_model_scores(console, scores, comparison)
    about = model.about
    console.print(f"{MODEL}: {about['networks']} networks by {about['method']}, trained on {about['origin']}")
    console.print(about["notice"], style="dim")
    console.print(f"results: {', '.join(map(str, files))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
