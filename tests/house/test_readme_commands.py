"""Every command of the README is run: those of the first hour in their order, those on data of one's own on invented trees."""

import dataclasses
import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from experiments import demo, prepare
from experiments.demo import DemoVideo, Moved
from lightman_jax.data.synthetic.faces import SimulatorConfig
from lightman_jax.data.synthetic.stand_in import stand_in_config, write_stand_in
from lightman_jax.data.vision.images import write_image
from tests.inputs import TINY_RUN

README = (Path(__file__).parents[2] / "README.md").read_text()
FEW = dataclasses.replace(SimulatorConfig(), subjects=3, micro_clips=1, macro_clips=1, side=48)
SHORT = (
    DemoVideo("positive.avi", 50, 40, (Moved("positive", 12, 20, 29),)),
    DemoVideo("long.avi", 25, 80, (Moved("surprise", 52, 56, 61),)),
)
TREES = {
    "/data/CASME2": "casme2",
    "/data/SMIC": "smic",
    "/data/CK+": "ck_plus",
    "/data/mine": "table",
    "/data": "megc2019",
}


def commands():
    """All lines of the shell blocks; of the two that set everything up, what comes after the installation."""
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL):
        for line in block.strip().replace("\\\n", " ").splitlines():
            yield line.split(" && ")[-1]


# Two take minutes on any data: `test_claims.py` and `test_select.py` run them in small.
COMMANDS = [line for line in commands() if "experiments.claims" not in line and "experiments.select" not in line]
ON_DATA = [line for line in COMMANDS if "/data" in line]
FIRST_HOUR = [line for line in COMMANDS if line not in ON_DATA and line != "python -m pytest"]


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a command in an empty folder, with a home of its own, and get its status; trainings are short and clips few."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIGHTMAN_DATA", raising=False)
    monkeypatch.setattr(prepare, "stand_in_config", lambda dataset: FEW)
    monkeypatch.setattr(demo, "FILMS", SHORT)
    for name in ("run", "select"):
        monkeypatch.setattr(f"experiments.{name}.set_up_jax", lambda config: None)
    monkeypatch.setattr("experiments.predict.jax.config", type("Config", (), {"update": staticmethod(lambda *_: None)}))

    def type_in(line, **places):
        words = shlex.split(line, comments=True)
        assert words[:2] == ["python", "-m"]
        for old, new in places.items():
            words = [word.replace(old, new) for word in words]
        name = words[2].removeprefix("experiments.")
        short = [*TINY_RUN, "--seeds=1"] if name in ("run", "select") else []
        if short and not any(word.startswith("--baselines") for word in words):
            short.append("--baselines=none")
        return importlib.import_module(f"experiments.{name}").main([*words[3:], *short])

    return type_in


def test_the_first_hour_runs_in_its_order(typed, tmp_path, capsys):
    assert len(FIRST_HOUR) >= 8
    for line in FIRST_HOUR:
        assert typed(line) == 0, line
    said = capsys.readouterr().out
    # Each step says where its results are, and the pictures and tables are there.
    assert said.count("results: ") >= 4
    for name in (
        *("runs/smic_stand_in-lightman/report.html", "runs/smic_stand_in-protonet/predictions.csv", "smic.lightman"),
        *("predictions/predictions.csv", "predictions/timelines", "predictions_adapted/sheets", "predictions_exported"),
    ):
        assert (tmp_path / name).exists(), name


@pytest.mark.parametrize("line", ON_DATA)
def test_a_command_on_data_of_ones_own_runs(line, typed, tmp_path, without_pictures):
    places = {}
    for word in sorted(set(re.findall(r"=(/data\S*)", line)), key=len, reverse=True):
        name = TREES[word]
        few = dataclasses.replace(FEW, subjects=3 if name != "megc2019" else 2)
        assert stand_in_config(name).frames == few.frames
        places[word] = str(write_stand_in(tmp_path / "trees" / name, name, few))
    assert typed(line, **places) == 0


def test_the_model_file_is_read_as_the_readme_says(finished, tmp_path, monkeypatch, capsys):
    from experiments import export

    monkeypatch.chdir(tmp_path)
    assert export.main([str(finished[0] / "work"), "--out=smic.lightman"]) == 0
    example = next(
        text for text in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "lightman_exported" in text
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(compile(example, "README.md", "exec"), {})
    assert "(6, 5, 3)" in capsys.readouterr().out


def test_the_table_of_ones_own_is_read_as_it_stands_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "clips.csv").write_text(re.search(r"```csv\n(.*?)```", README, flags=re.DOTALL)[1])
    (tmp_path / "films").mkdir()
    (tmp_path / "pictures" / "ben_1").mkdir(parents=True)
    for name in ("anna_1.avi", "anna_2.avi"):
        demo.write_video(tmp_path / "films" / name, SHORT[0])
    for number, frame in enumerate(demo.video_frames(DemoVideo("b", 50, 5, ())), start=1):
        write_image(tmp_path / "pictures" / "ben_1" / f"{number}.jpg", frame)
    flags = ["--dataset=table", f"--data_dir={tmp_path}", f"--data_cache={tmp_path / 'shards'}"]
    assert prepare.main([*flags, "--check", f"--out={tmp_path / 'check.json'}"]) == 0
    found = json.loads((tmp_path / "check.json").read_text())
    assert {problem["expected"] for problem in found["problems"]} == {"an apex frame"}
    assert not any(problem["lost"] for problem in found["problems"])
    assert found["counts"][0]["found"] == {"positive": 1, "surprise": 2}
