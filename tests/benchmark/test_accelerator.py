"""The measurements on an accelerator: parts are independent, differences from the CPU are found, small work runs."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from experiments.benchmark import accelerator, accelerator_parts
from experiments.benchmark.accelerator_parts import AUTO, FORMS, Options
from experiments.benchmark.accelerator_report import report
from experiments.benchmark.measure import fresh_process
from experiments.benchmark.work import SETTINGS, Setting
from lightman_jax.networks.backbones import Conv4

DEVICE = {"backend": "gpu", "kind": "card", "devices": ["cuda:0"], "packages": {}, "float32": {"matmul, default": 3e-4}}
TINY = Setting(side=8, width=4, way=3, support=4, query=4, inner_steps=1, tasks=2)


def results(**parts):
    return {"device": DEVICE, "small": False, "parts": parts}


def row(contender, seconds, ratio):
    return {"contender": contender, "seconds": seconds, "gigaflop_per_second": 100.0, "rounds": 3} | {
        "speed_up over PyTorch loop, tf32": ratio
    }


@pytest.mark.parametrize(("error", "good"), [(0.0, True), (1e-11, True), (1e-8, False)])
def test_gradients_of_the_device_are_compared_with_those_of_the_cpu(tmp_path, error, good):
    values = np.random.default_rng(0).normal(size=50)
    np.savez(tmp_path / "gradients, CPU.npz", maml=values, joint=values)
    np.savez(tmp_path / "gradients.npz", maml=values, joint=values * (1 + error))
    result = results(**{"gradients": {"cases": 2}, "gradients, CPU": {"cases": 2}})
    text, agree = report(result, tmp_path)
    assert agree is good
    assert ("DIFFER" in text) is not good
    assert result["gradient_difference"]["joint"] == pytest.approx(error, rel=0.01, abs=1e-15)


def test_the_report_names_the_fastest_form_the_goals_and_what_failed(tmp_path):
    rows = [row(str(AUTO), 0.2, 8.0), row(str(FORMS[1]), 0.1, 16.0), row("PyTorch loop, tf32", 1.6, 1.0)]
    part = {"rows": rows, "note": "PyTorch 9", "failed": {"tiled": "XlaRuntimeError: too large"}}
    error = {"error": "Traceback\nMemoryError: none left"}
    limits = {"matmul float32 by default, GFLOP/s": 1000.0, "matmul float32, GFLOP/s": 500.0}
    text, good = report(results(a=part, b=error, ceilings={"ceilings": limits}), tmp_path)
    assert not good
    assert f"a: fastest with default: {FORMS[1]}, 2.00 times as fast as auto" in text
    assert "a: auto is 8.0 times as fast as the PyTorch loop (goal 10)" in text
    assert "10.0%" in text
    assert "not timed: tiled: XlaRuntimeError: too large" in text
    assert "FAILED b: MemoryError: none left" in text


def test_a_failed_part_and_the_end_of_the_time_are_results(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no card")

    monkeypatch.setattr(accelerator, "fresh_process", fail)
    found = accelerator.attempt(accelerator.SPEED[0], {"small": False}, end=float("inf"))
    assert found["error"] == "no card"
    assert "not started" in accelerator.attempt(accelerator.SPEED[0], {"small": False}, end=0.0)["error"]


def test_the_limits_of_the_parts_allow_all_of_them_in_eight_minutes():
    after_each_other = [part.limit for part in (*accelerator.CORRECTNESS, *accelerator.SPEED) if not part.cpu]
    assert max(part.limit for part in accelerator.CORRECTNESS) < 8 * 60
    assert min(after_each_other) >= 30
    assert {
        part.function for part in (*accelerator.CORRECTNESS, *accelerator.SPEED)
    } < accelerator_parts.FUNCTIONS.keys()


def test_a_process_over_its_limit_is_stopped():
    with pytest.raises(RuntimeError, match="stopped after 0"):
        fresh_process("experiments.benchmark.process", "lightman_jax", "a", timeout=0.1)


@pytest.mark.slow
def test_small_gradients_are_stored_for_the_comparison(tmp_path):
    accelerator_parts.gradients(Options(workdir=tmp_path, small=True, name="gradients"))
    shutil.copy(tmp_path / "gradients.npz", tmp_path / "gradients, CPU.npz")
    stored = np.load(tmp_path / "gradients.npz")
    assert set(stored.files) == {"lightman", "generated"}
    assert all(np.isfinite(stored[name]).all() and np.any(stored[name]) for name in stored.files)
    _, agree = report(results(**{"gradients": {"cases": 2}, "gradients, CPU": {"cases": 2}}), tmp_path)
    assert agree


@pytest.mark.slow
def test_contenders_of_small_work_are_timed(monkeypatch, tmp_path):
    monkeypatch.setattr("experiments.benchmark.layers.LAYERS", 1)
    monkeypatch.setattr(Conv4, "depth", 1)
    monkeypatch.setitem(SETTINGS, "a", TINY)
    monkeypatch.setattr(accelerator_parts, "FORMS", FORMS[:1])
    part = accelerator_parts.contenders(Options(workdir=tmp_path, small=True, seconds=500, name="a"), "a")
    assert not part["failed"]
    assert [r["contender"] for r in part["rows"]][:2] == [str(AUTO), str(FORMS[0])]
    assert all(r["gradient_error"] < 1e-2 for r in part["rows"][:2])
    assert json.loads(json.dumps(part))["setting"] == dataclasses.asdict(TINY) | {"side": 16, "support": 6, "query": 6}
    assert "setting a" in report(results(a=part), tmp_path)[0]
