"""The READMEs agree with the code: commands, tables, links, defaults, and the Python examples run."""

import contextlib
import importlib
import importlib.util
import re
from pathlib import Path

import jax
import pytest

import lightman_jax as lj
from experiments.__main__ import COMMANDS
from experiments.cli.config import parse_config
from lightman_jax.data.corpora import user_table
from lightman_jax.data.corpora.registry import DATASETS, MACRO_CORPORA
from lightman_jax.data.folders import trees
from lightman_jax.losses.alignment import ALIGNMENT_LOSSES
from lightman_jax.meta.methods import METHODS

PACKAGES = ("claims", "benchmark")
ROOT = Path(__file__).parents[2]
README, EXPERIMENTS, DATA = (
    (ROOT / name).read_text() for name in ("README.md", "experiments/README.md", "lightman_jax/data/README.md")
)
EXAMPLES = re.findall(r"```python\n(.*?)```", README + EXPERIMENTS, flags=re.DOTALL)


def first_column(text: str, header: str) -> set[str]:
    """All `names` in the first column of the table whose header row starts with `header`."""
    table = text.split(f"| {header} |")[1].split("\n\n")[0]
    return set(re.findall(r"`([^`]+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))


def test_every_named_command_exists():
    named = set(re.findall(r"python -m ((?:experiments|tests)[\w.]*\w)", README + EXPERIMENTS + DATA))
    assert {f"experiments.{name}" for name in COMMANDS} <= named
    assert all(importlib.util.find_spec(name) for name in named)


def test_every_named_flag_and_function_exists(capsys):
    for command in COMMANDS:
        with contextlib.suppress(SystemExit):
            main = importlib.import_module(f"experiments.{command}{'.__main__' * (command in PACKAGES)}").main
            main(["--help=all" if command in ("run", "prepare") else "--help"])
    flags = set(re.findall(r"--([a-z]\w*)", capsys.readouterr().out)) | {"help"}
    everything = README + EXPERIMENTS + DATA
    # `--no-deps` is a flag of pip.
    named = set(re.findall(r"--([a-z]\w*)\b(?!-)", everything))
    assert named <= flags
    assert all(hasattr(lj, name) for name in re.findall(r"lj\.(\w+)", everything))


def test_every_corpus_is_in_the_table():
    assert first_column(DATA, "`--dataset`") == set(DATASETS)


def test_every_macro_corpus_is_named():
    text = DATA.split("| `--dataset` |")[1].split("## A table")[0]
    assert all(f"`{name}`" in text for name in MACRO_CORPORA)


def test_every_column_and_file_type_of_a_user_table_is_named():
    text = DATA.split("## A table of your own clips")[1].split("## Check")[0]
    assert first_column(DATA, "column") == set(user_table.COLUMNS)
    assert set(re.findall(r"\.\w+(?=[ `])", text)) >= trees.IMAGE_SUFFIXES | trees.VIDEO_SUFFIXES


def test_every_method_is_in_the_table():
    assert first_column(README, "`--method`") == set(METHODS)


def test_every_protocol_is_in_the_table():
    for protocol in first_column(EXPERIMENTS, "`--protocol`"):
        assert parse_config([f"--protocol={protocol}"]).protocol == protocol


def test_every_alignment_form_is_named():
    choices = EXPERIMENTS.split("- **Alignment**")[1].split("- **Tasks**")[0]
    assert set(re.findall(r"`(\w+)`", choices)) == set(ALIGNMENT_LOSSES)


def test_every_link_leads_to_a_file_and_a_heading():
    for folder, text in (("", README), ("experiments", EXPERIMENTS), ("lightman_jax/data", DATA)):
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            name, _, heading = target.partition("#")
            path = ROOT / folder / name
            assert path.is_file() or not name, target
            if heading:
                linked = path.read_text() if name else text
                titles = re.findall(r"^#+ (.*)$", linked, flags=re.MULTILINE)
                assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, target


def test_the_two_commands_set_everything_up():
    setup = r"python3 -m venv \.venv && \. \.venv/bin/activate && pip install -e "
    assert re.search(rf"^{setup}\. && python -m experiments\.run --dataset=smic$", README, flags=re.MULTILINE)
    assert re.search(rf'^{setup}"\.\[test\]" && python -m pytest$', README, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_sine_example_meta_learns_in_under_forty_lines(capsys):
    example = next(text for text in EXAMPLES if "jnp.sin" in text)
    assert len(example.splitlines()) < 40
    # The errors are at these limits long before the last of the example's steps.
    assert "steps=1500" in example
    example = example.replace("steps=1500", "steps=400")
    with jax.numpy_rank_promotion("allow"):
        exec(compile(example, "README.md", "exec"), {})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    error = {(name, int(shots)): float(value) for name, shots, value in rows}
    for shots in (5, 10):
        assert error["meta-learned", shots] < 0.2 * error["joint", shots]
    assert error["meta-learned", 10] < error["meta-learned", 5] < 1.0


@pytest.mark.slow
def test_the_shortest_example_learns_the_shared_weights_in_twenty_lines(capsys):
    example = next(text for text in EXAMPLES if "problem" in text)
    assert len([line for line in example.splitlines() if line]) <= 20
    found = {}
    with jax.numpy_rank_promotion("allow"):
        exec(compile(example, "README.md", "exec"), found)
    # The mean of the tasks' weights is 1.
    assert abs(found["state"].params - 1).max() < 0.2
    assert float(found["metrics"]["loss"]) < 0.5
    assert "[" in capsys.readouterr().out


@pytest.mark.slow
def test_the_adaptation_example_runs(capsys):
    example = next(text for text in EXAMPLES if "make_adapter" in text)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["(5, 3)", "(4, 3)"]


def test_the_stated_settings_are_the_defaults():
    train = parse_config([]).train
    assert (train.network.width, train.steps, train.macro_gain) == (16, 100, 3.0)
    assert (train.task.shots, train.task.macro_shots, train.task.meta_batch_size) == (5, 3, 2)
    assert (train.method.bilevel.inner_steps, train.method.bilevel.inner_lr) == (1, 0.05)
    assert (train.method.temperature, train.method.initial_weight) == (0.1, 1.0)
    assert not train.method.bilevel.first_order
    for text in ("2 tasks per step, 100 steps, 1 inner step with learning rate 0.05", "64 units", "`pre = 1`"):
        assert text in " ".join(README.split())
        assert text in " ".join(EXPERIMENTS.split())
