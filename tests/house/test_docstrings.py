"""Examples in docstrings run, and every public name says what it is."""

import doctest
import importlib
import inspect
import pkgutil

import jax
import pytest

import lightman_jax as lj

MODULES = [m.name for m in pkgutil.walk_packages(lj.__path__, "lightman_jax.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    with jax.numpy_rank_promotion("allow"):
        failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_the_public_names_are_there_and_documented():
    stated = [
        *("Task", "Outputs", "TrainState", "confusion_matrix", "uf1", "uar", "accuracy", "bootstrap_interval"),
        *("primary_loss", "focal_loss", "alignment_loss", "entropy_loss", "Conv4", "init_params", "apply_branches"),
        *("generate_labels", "make_generator_update", "make_adapter", "learn_inner_rate", "make_method"),
        *("adapt", "outer_objective", "meta_gradient", "make_update", "METHODS", "method_update"),
        *("draw_task", "draw_task_batch", "leave_one_subject_out", "train_folds", "predict_folds"),
    ]
    for name in stated:
        value = getattr(lj, name)
        if not isinstance(value, dict):
            assert inspect.getdoc(value), name
    for name in (
        "entropy_loss",
        "learn_inner_rate",
        "make_adapter",
        "primary_loss",
        "focal_loss",
        "alignment_loss",
        "adapt",
        "make_update",
    ):
        text = inspect.getdoc(getattr(lj, name))
        assert "Args:" in text, name
        assert "Returns:" in text, name
        assert ">>>" in text, name
