"""Every shell command of the READMEs runs: the first hour in order, and the commands on data on synthetic trees."""

import dataclasses
import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from experiments import demo, prepare
from experiments.claims.__main__ import STUDIES
from experiments.cli.config import parse_config
from experiments.demo import DemoVideo, Movement
from experiments.evaluation import data
from lightman_jax.data.synthetic.faces import SimulatorConfig
from lightman_jax.data.synthetic.stand_in import stand_in_config, write_stand_in
from lightman_jax.data.vision.images import write_image
from tests.inputs import TINY_RUN

ROOT = Path(__file__).parents[2]
README, EXPERIMENTS = (ROOT / "README.md").read_text(), (ROOT / "experiments" / "README.md").read_text()
FEW = dataclasses.replace(SimulatorConfig(), subjects=3, micro_clips=1, macro_clips=1, side=48)
SHORT = (
    DemoVideo("positive.avi", 50, 40, (Movement("positive", 12, 20, 29),)),
    DemoVideo("long.avi", 25, 80, (Movement("surprise", 52, 56, 61),)),
)
TREES = {
    "/data/CASME2": "casme2",
    "/data/SMIC": "smic",
    "/data/CK+": "ck_plus",
    "/data/mine": "table",
    "/data": "megc2019",
}


def commands(text):
    """All lines of the shell blocks; of the two that install the package, the part after the installation."""
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for line in block.strip().replace("\\\n", " ").splitlines():
            yield line.split(" && ")[-1]


# These take minutes on any data: `test_claims.py`, `test_select.py` and `test_baselines.py` run them on less.
LONG = re.compile(r"experiments\.(claims|select)|megc2019_flow")
COMMANDS = [*commands(README), *commands(EXPERIMENTS)]
ON_DATA = [line for line in COMMANDS if "/data" in line and not LONG.search(line)]
FIRST_HOUR = [line for line in COMMANDS if line not in ON_DATA and line != "python -m pytest" and not LONG.search(line)]


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Run a command in an empty folder with an empty home, and return its exit status; trainings are short and clips few."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIGHTMAN_DATA", raising=False)
    monkeypatch.setattr(data, "stand_in_config", lambda dataset: FEW)
    monkeypatch.setattr(demo, "VIDEOS", SHORT)
    for name in ("run", "predict", "evaluate", "rerun"):
        monkeypatch.setattr(f"experiments.{name}.set_up_jax", lambda *_, **__: None)

    def type_in(line, **places):
        words = shlex.split(line, comments=True)
        assert words[:2] == ["python", "-m"]
        for old, new in places.items():
            words = [word.replace(old, new) for word in words]
        name = words[2].removeprefix("experiments.")
        short = [*TINY_RUN, "--seeds=1"] if name == "run" else []
        if short and not any(word.startswith("--baselines") for word in words):
            short.append("--baselines=none")
        return importlib.import_module(f"experiments.{name}").main([*words[3:], *short])

    return type_in


@pytest.mark.slow
def test_the_first_hour_runs_in_order(typed, tmp_path, capsys):
    assert len(FIRST_HOUR) >= 10
    for line in FIRST_HOUR:
        assert typed(line) == 0, line
    # Each step prints the path of its results, and the figures and tables exist.
    assert capsys.readouterr().out.count("results: ") >= 4
    for name in (
        "runs/smic_stand_in-lightman/report.html",
        "runs/smic_stand_in-protonet/predictions.csv",
        "smic.lightman",
        "predictions/predictions.csv",
        "predictions/timelines",
        "predictions_adapted/figures",
        "demo/truth.csv",
        "predictions_exported",
    ):
        assert (tmp_path / name).exists(), name


@pytest.mark.slow
@pytest.mark.parametrize("line", ON_DATA)
def test_a_command_on_data_runs(line, typed, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.train._draw", lambda *_: None)
    places = {}
    for word in sorted(set(re.findall(r"=(/data\S*)", line)), key=len, reverse=True):
        name = TREES[word]
        few = dataclasses.replace(FEW, subjects=3 if name != "megc2019" else 1)
        assert stand_in_config(name).frames == few.frames
        places[word] = str(write_stand_in(tmp_path / "trees" / name, name, few))
    assert typed(line, **places) == 0


@pytest.mark.parametrize("line", [line for line in COMMANDS if LONG.search(line)])
def test_a_long_command_has_valid_flags(line):
    words = shlex.split(line, comments=True)
    if words[2] == "experiments.claims":
        names = [word for word in words[3:] if not word.startswith("--")]
        assert set(names) <= set(STUDIES)
        return
    candidates = [word.removeprefix("--candidate=") for word in words[3:] if word.startswith("--candidate=")]
    shared = [word for word in words[3:] if not word.startswith("--candidate=")]
    for candidate in candidates or [""]:
        parse_config([*shared, *candidate.split()])


@pytest.mark.slow
def test_the_exported_model_is_read_as_documented(finished, tmp_path, monkeypatch, capsys):
    from experiments import export

    monkeypatch.chdir(tmp_path)
    assert export.main([str(finished[0] / "work"), "--out=smic.lightman"]) == 0
    example = next(
        text for text in re.findall(r"```python\n(.*?)```", EXPERIMENTS, flags=re.DOTALL) if "lightman_exported" in text
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(compile(example, "README.md", "exec"), {})
    assert "(6, 5, 3)" in capsys.readouterr().out


@pytest.mark.slow
def test_the_example_of_a_user_table_is_read(tmp_path, monkeypatch, capsys):
    (tmp_path / "clips.csv").write_text(re.search(r"```csv\n(.*?)```", README, flags=re.DOTALL)[1])
    (tmp_path / "videos").mkdir()
    (tmp_path / "images" / "ben_1").mkdir(parents=True)
    for name in ("anna_1.avi", "anna_2.avi"):
        demo.write_video(tmp_path / "videos" / name, SHORT[0])
    for number, frame in enumerate(demo.video_frames(DemoVideo("b", 50, 5, ())), start=1):
        write_image(tmp_path / "images" / "ben_1" / f"{number}.jpg", frame)
    flags = ["--dataset=table", f"--data_dir={tmp_path}", f"--data_cache={tmp_path / 'cache'}"]
    assert prepare.main([*flags, "--check", f"--out={tmp_path / 'check.json'}"]) == 0
    found = json.loads((tmp_path / "check.json").read_text())
    assert {problem["expected"] for problem in found["problems"]} == {"an apex frame"}
    assert not any(problem["lost"] for problem in found["problems"])
    assert found["counts"][0]["found"] == {"positive": 1, "surprise": 2}
