"""Docstring examples run, and public names are documented."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import jax
import pytest

import lightman_jax as lj
from lightman_jax.losses.alignment import ALIGNMENT_LOSSES

ROOT = Path(lj.__file__).parents[1]
FILES = sorted((ROOT / "experiments").rglob("*.py"))
MODULES = [
    *(module.name for module in pkgutil.walk_packages(lj.__path__, "lightman_jax.")),
    *(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES if ">>>" in path.read_text()),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    with jax.numpy_rank_promotion("allow"):
        failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_public_names_are_exported_and_documented():
    expected = {
        *("Task", "TrainState", "confusion_matrix", "uf1", "uar", "accuracy", "bootstrap_interval", "primary_loss"),
        *("focal_loss", "alignment_loss", "alignment_losses", "entropy_loss", "init_params", "apply_branches"),
        *("make_adapter", "learn_inner_lr", "make_method", "adapt", "outer_objective", "meta_gradient", "make_update"),
        *("METHODS", "leave_one_subject_out", "check_leaks", "train_folds", "predict_folds", "load_model"),
    }
    assert expected <= set(lj.__all__)
    for name in lj.__all__:
        value = getattr(lj, name)
        if not isinstance(value, dict):
            assert inspect.getdoc(value), name


@pytest.mark.parametrize(
    "name",
    [
        *("entropy_loss", "learn_inner_lr", "make_adapter", "primary_loss", "focal_loss", "alignment_loss", "adapt"),
        "make_update",
    ],
)
def test_docstrings_of_central_functions_are_complete(name):
    text = inspect.getdoc(getattr(lj, name))
    for part in ("Args:", "Returns:", ">>>"):
        assert part in text


@pytest.mark.parametrize("form", ALIGNMENT_LOSSES)
def test_alignment_losses_document_formula_arguments_and_example(form):
    text = inspect.getdoc(ALIGNMENT_LOSSES[form])
    assert "`" in text.splitlines()[0], "the first line gives the formula"
    assert "Args:" in text or "`contrastive`" in text
    assert ">>>" in text
