"""Former spellings of flags and values still work and print the current one; numbers out of range are refused."""

import pytest

from experiments import export
from experiments.cli.config import parse_config, parse_prepare_config
from experiments.cli.flags import RENAMED_FLAGS, RENAMED_VALUES, ConfigError

OF_RUN = {
    "inner_rate": ("0.2", lambda c: c.train.method.bilevel.inner_lr, 0.2),
    "outer_rate": ("0.3", lambda c: c.train.learning_rate, 0.3),
    "learnt_rate": ("leaf", lambda c: c.train.method.learned_lr, "leaf"),
    "members": ("3", lambda c: c.ensemble_size, 3),
    "tasks": ("7", lambda c: c.train.task.meta_batch_size, 7),
    "repairs": ("a.csv", lambda c: c.data.corrections, "a.csv"),
    "shards": ("/cache", lambda c: c.data.data_cache, "/cache"),
}


@pytest.mark.parametrize("old", OF_RUN)
def test_a_former_flag_sets_the_renamed_setting_with_a_note(old, capsys):
    value, setting, expected = OF_RUN[old]
    assert setting(parse_config([f"--{old}={value}"])) == expected
    assert setting(parse_config([f"--{old}", value])) == expected
    assert f"--{old}={value} is now --{RENAMED_FLAGS[old]}={value}" in capsys.readouterr().err


def test_former_values_are_replaced(capsys):
    config = parse_config(["--protocol=personal", "--baselines=usual,relatives,knn", "--macro=facs"])
    assert (config.protocol, config.baselines, config.data.macro) == (
        "subject_calibration",
        "default,meta,knn",
        "simulated_au",
    )
    assert capsys.readouterr().err.count("note: ") == 3
    assert parse_prepare_config(["--dataset=facs"]).data.dataset == "simulated_au"


def test_every_renamed_value_is_accepted():
    for (flag, old), new in RENAMED_VALUES.items():
        assert old != new
        parse_config([f"--{flag}={old}"])


def test_current_spellings_print_no_note(capsys):
    parse_config(["--inner_lr=0.1", "--baselines=default", "--meta_batch_size=2"])
    assert capsys.readouterr().err == ""


def test_a_former_flag_of_another_command_is_unknown():
    with pytest.raises(ConfigError, match="unknown flag --members"):
        parse_prepare_config(["--members=3"])


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", ""])
def test_a_number_that_a_flag_cannot_take_is_one_paragraph(text, tmp_path, capsys):
    assert export.main([str(tmp_path), f"--seeds={text}"]) == 2
    assert f"--seeds: {text!r} is not a whole number from 1 on" in capsys.readouterr().err
