"""Wrong uses of every command: each gives one paragraph with the cause, the place, and a correction to type."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import run
from tests.inputs import TINY_RUN

USES = [
    # A mistyped flag, name or value.
    ("run", "--datasett=smic", "unknown flag --datasett. Did you mean --dataset?"),
    ("run", "--step=3", "unknown flag --step. Did you mean --steps?"),
    ("run", "smic", "unexpected argument smic: flags start with --"),
    ("run", "--dataset=smik", "dataset 'smik' is unknown.*Did you mean smic"),
    ("run", "--method=lightmann", "method 'lightmann' is unknown.*Did you mean lightman"),
    ("run", "--protocol=losoo", "protocol 'losoo' is unknown.*Did you mean loso"),
    ("run", "--macro=ckplus", "macro 'ckplus' is unknown.*Did you mean ck_plus"),
    ("run", "--backbone=resnet50", "backbone 'resnet50' is unknown.*resnet12"),
    ("run", "--alignment=contrastiv", "'contrastiv'.*contrastive"),
    ("run", "--baselines=svm", "'svm'.*linear_svm"),
    ("run", "--labels=6", "labels '6'.*3, 4, 5"),
    ("run", "--representation=flows", "representation 'flows' is unknown.*flow, difference"),
    ("run", "--views=dis_ris", "view 'dis_ris' is unknown; choose all, or some of farneback_rise"),
    (
        "run",
        "--views=all --representation=apex",
        "apex does not have; choose --representation=flow, or leave out --views",
    ),
    ("run", "--colour=rgb", "flow is computed from grey images and has no colour; choose --representation=apex"),
    ("run", "--scaling=imagenet --representation=apex", "colour images, these are grey; choose .* --colour=rgb"),
    ("run", "--brightness=0.1", "brightness 0.1 and contrast 0 change images, and these are flow; leave them out"),
    ("run", "--brightness=0.1 --representation=dynamic", "for faces, not for the changes of --representation=dynamic"),
    ("run", "--help=trainin", "help 'trainin' is unknown.*Did you mean training"),
    ("run", "--steps=many", "--steps: invalid int value: 'many'.*--help"),
    ("run", "--steps=0", "steps 0 trains nothing.*default: 100"),
    ("run", "--seeds=-1", "seeds -1 .*1 or more"),
    ("run", "--dry_run=maybe", "'maybe' is neither true nor false"),
    # Settings that contradict each other, or need other hardware.
    ("run", "--macro_dir=/data/CK+", "macro_dir is given without macro; add --macro=NAME"),
    ("run", "--protocol=few_shot --method=generated", "few_shot needs another method"),
    ("run", "--processes=2", "2 processes need --coordinator=HOST:PORT"),
    ("run", "--precision=bfloat16 {tiny}", "bfloat16.*--precision=float32|float32.*bfloat16"),
    # Data that are missing or malformed.
    ("run", "--dataset=casme2 --data_dir=/nowhere", "/nowhere.*--data_dir"),
    ("run", "--dataset=casme2 --data_dir={here}/empty", "empty.*"),
    ("run", "--dataset=casme2 --data_dir={here}/file.txt", "file.txt.*"),
    ("run", "--dataset=smic --data_dir={here}/deep/HS/s1/micro", "micro.*"),
    ("run", "--dataset=smic --corrections={here}/none.csv", "none.csv"),
    ("run", "--dataset=table --data_dir={here}/table", "clips.csv.*subject"),
    ("prepare", "--dataset=samm --data_dir={here}/empty --check", "empty"),
    ("prepare", "--checks", "unknown flag --checks. Did you mean --check"),
    # Runs that are missing, unfinished or different.
    ("run", "--workdir={work} {data} --steps=3", "belongs to a run with other settings.*another --workdir"),
    ("rerun", "{here}/empty --fold=smic/s1", "empty.*workdir of a finished run"),
    ("rerun", "{work}", "required: --fold.*--help"),
    ("rerun", "{work} --fold=smic/s99", "no fold 'smic/s99' under seed 0; choose a fold from smic/s1, smic/s2"),
    ("rerun", "{work} --fold=smic/s01 --seed=9", "under seed 9; choose a fold"),
    ("compare", "", "required: RUN.*--help"),
    ("compare", "{work} {here}/empty", "empty"),
    ("html_report", "{here}/empty", "empty.*workdir of a finished run"),
    (
        "html_report",
        "{here}/old",
        "format version 0, this version of the package reads 2; run the experiment again with python -m experiments.run",
    ),
    ("export", "{here}/empty", "not the workdir of a run.*runs/smic_stand_in-lightman"),
    ("export", "{here}/old", "format version 0"),
    ("select", "--dataset=smic --candidate=--meta_batch_size=2", "at least two candidates, such as --candidate="),
    # Predictions.
    ("predict", "film.avi --model=nowhere", "nowhere does not exist.*without --model the default model"),
    ("predict", "film.avi --model={here}/nowhere", "nowhere does not exist. Give --model"),
    ("predict", "film.avi --model={here}/file.txt", "file.txt is not a model file.*experiments.export RUN"),
    ("predict", "film.avi --model={work} --face=left", "'left' is neither TOP,LEFT,SIDE in pixels nor whole"),
    ("predict", "video.avi --model={work} --fps=fast", "'fast' is not a number of frames per second, such as 200"),
    ("predict", "film.avi --model={work} --onset=3", "give both --onset=N and --apex=N"),
    ("predict", "film.avi --model={work} --support={here}/none.csv", "none.csv.*"),
    ("predict", "film.avi --model={work} --suport=a.csv", "unknown flag --suport. Did you mean --support"),
    # The other commands.
    ("claims", "few_date", "study 'few_date' is unknown.*Did you mean few_data"),
    ("benchmark", "--part=updat", "invalid choice: 'updat'.*Did you mean update"),
    ("claims", "simulated_training", "give its folder by --data_dir"),
    ("claims", "simulated_training --data_dir={here}/empty", "empty"),
    ("demo", "--out={here}/file.txt", "file.txt"),
]


@pytest.fixture(scope="module")
def here(tmp_path_factory, finished):
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "empty").mkdir()
    (folder / "file.txt").write_text("hello")
    (folder / "deep" / "HS" / "s1" / "micro").mkdir(parents=True)
    (folder / "table").mkdir()
    (folder / "table" / "clips.csv").write_text("clip,label,path\na,positive,a.avi\n")
    shutil.copytree(finished[0] / "work", folder / "old")
    for name in ("config.json", "metrics.json"):
        content = json.loads((folder / "old" / name).read_text())
        (folder / "old" / name).write_text(json.dumps(content | {"format_version": 0}))
    (folder / "old" / "results.json").unlink()
    return folder


def test_there_are_more_than_forty():
    assert len({(command, words) for command, words, _ in USES}) > 40


@pytest.mark.slow
@pytest.mark.parametrize(("command", "words", "message"), USES)
def test_a_wrong_use_is_answered_with_a_correction(
    command, words, message, here, finished, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIGHTMAN_DATA", raising=False)
    for name in ("run", "rerun", "select", "claims.__main__"):
        monkeypatch.setattr(f"experiments.{name}.set_up_jax", lambda *_, **__: None, raising=False)
    work, data = finished[0] / "work", " ".join(finished[1][:3])
    data_cache = f"--data_cache={tmp_path / 'shards'}" if command == "run" and "{data}" not in words else ""
    filled = words.format(here=here, work=work, data=data, tiny=" ".join(TINY_RUN))
    module = importlib.import_module(f"experiments.{command}{'.__main__' * (command in ('claims', 'benchmark'))}")
    assert module.main([*filled.split(), *data_cache.split()]) == 2
    answer = capsys.readouterr().err
    assert "Traceback" not in answer
    assert re.search(message, answer, flags=re.DOTALL), answer
    assert re.search(r"--\w|python -m|pip install|remove|choose|[Gg]ive|name|run ", answer), (
        f"no correction to type in: {answer}"
    )
    assert len(answer) < 1200


@pytest.mark.parametrize("command", ["run", "predict film.avi --model=m"])
def test_a_missing_platform_is_reported(command, tmp_path):
    words = [sys.executable, "-m", *f"experiments.{command}".split()]
    environment = os.environ | {"JAX_PLATFORMS": "tpu", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert re.search(
        r"no device for JAX_PLATFORMS=tpu.*unset JAX_PLATFORMS.*requirements-tpu\.txt", done.stderr, flags=re.DOTALL
    )
    assert "Traceback" not in done.stderr


def test_without_a_command_all_commands_are_listed(capsys):
    from experiments import __main__

    assert __main__.main() == 2
    printed = capsys.readouterr().err
    for name in ("run ", "predict", "export", "claims"):
        assert re.search(rf"^  {name}", printed, flags=re.MULTILINE)


def test_every_command_is_in_the_list(capsys):
    from experiments import __main__

    __main__.main()
    listed = set(re.findall(r"^  (\w+)", capsys.readouterr().err, flags=re.MULTILINE))
    folder = (run.__file__ or "").rsplit("/", 1)[0]
    commands = set()
    for path in Path(folder).rglob("*.py"):
        if (
            'if __name__ == "__main__"' in path.read_text() and path.parent.name not in ("benchmark", "claims")
        ) or path.name == "__main__.py":
            commands.add(path.parent.name if path.name == "__main__.py" else path.stem)
    assert listed == commands - {"experiments"}
