"""What the README tells people to type works."""

import importlib.util
import re
from pathlib import Path

import jax

from experiments.cli.config import parse_config
from lightman_jax.data.corpora.catalog import PROTOCOLS

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_command_that_is_named_is_there():
    both = README + (Path(__file__).parents[2] / "experiments" / "README.md").read_text()
    named = set(re.findall(r"python -m (experiments\.\w+)", both))
    assert {"experiments.run", "experiments.claims", "experiments.rerun"} <= named
    assert all(importlib.util.find_spec(name) for name in named)


def test_every_corpus_is_in_its_table():
    table = README.split("| `--dataset` |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([^`]+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:]))) == set(
        PROTOCOLS
    )


def test_the_two_commands_set_everything_up():
    setup = r"python3 -m venv \.venv && \. \.venv/bin/activate && pip install -e "
    assert re.search(rf"^{setup}\. && python -m experiments\.run --dataset=smic$", README, flags=re.MULTILINE)
    assert re.search(rf'^{setup}"\.\[test\]" && python -m pytest$', README, flags=re.MULTILINE)


EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_sine_example_meta_learns_in_under_forty_lines(capsys):
    example = next(text for text in EXAMPLES if "jnp.sin" in text)
    assert len(example.splitlines()) < 40
    with jax.numpy_rank_promotion("allow"):
        exec(compile(example, "README.md", "exec"), {})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    error = {(name, int(shots)): float(value) for name, shots, value in rows}
    for shots in (5, 10):
        assert error["meta-learnt", shots] < 0.2 * error["joint", shots]
    assert error["meta-learnt", 10] < error["meta-learnt", 5] < 1.0


def test_the_shortest_example_learns_what_its_tasks_share_in_twenty_lines(capsys):
    example = next(text for text in EXAMPLES if "levels" in text)
    assert len([line for line in example.splitlines() if line]) <= 20
    found = {}
    with jax.numpy_rank_promotion("allow"):
        exec(compile(example, "README.md", "exec"), found)
    # All tasks share weights of 1; an even start would be as far from each.
    assert abs(found["state"].params - 1).max() < 0.2
    assert float(found["metrics"]["loss"]) < 0.5
    assert "[" in capsys.readouterr().out


def test_the_adaptation_example_runs(capsys):
    example = next(text for text in EXAMPLES if "make_adapter" in text)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["(5, 3)", "(4, 3)"]


def test_the_settings_it_states_are_the_defaults():
    train = parse_config([]).train
    assert (train.network.width, train.steps, train.macro_gain) == (16, 100, 3.0)
    assert (train.task.shots, train.task.macro_shots, train.task.tasks) == (5, 3, 2)
    assert (train.method.bilevel.inner_steps, train.method.bilevel.inner_lr) == (1, 0.05)
    assert (train.method.temperature, train.method.initial_weight) == (0.1, 1.0)
    assert not train.method.bilevel.first_order
