"""The field's words: a term that this project no longer uses appears in no flag, public name, help text or README."""

import ast
import re
from pathlib import Path

import pytest

from experiments.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]

TERMS = {
    r"machines?": "classical baseline",
    r"learners?": "classical baseline",
    r"lanes?": "training job",
    r"people|persons?|whoever|somebody|nobody": "subject",
    r"tells?|told|says?|said": "predicts, reports, prints",
    r"held(?![ _-]out)": "cached",
    r"insights?": "saliency",
    r"level[ _]one|level[ _]two": "inner loop, outer loop",
    r"inner_rate|outer_rate|learnt_rate": "inner_lr, learning_rate",
    r"members?": "ensemble_size",
    r"relatives?": "meta baselines",
    r"usual": "default",
    r"repairs?|repaired": "corrections",
    r"clearness": "signal-to-noise ratio",
    r"turned": "rotated",
    r"films?|recordings?": "video",
    r"pictures?": "image, figure",
    r"facs(?! codes)": "simulated_au",
    r"cross_dataset": "leave_one_dataset_out",
    r"personal": "subject_calibration",
    r"endurance|victims?": "fault injection, test run",
    r"boards?|sheets?(?<!contact[ _]sheet)(?<!contact[ _]sheets)": "summary writer, contact sheet",
    r"anew|beside": "again, next to",
}
"""Former term as a regular expression -> term of the field."""

EXCEPTIONS = (
    r"virtual machine|support[- ]vector machines?|on (this|your|the same|another|one|a|each|every) machine|machines? (of|with|that)|this machine",
    r"SAMM_Micro_FACS_Codes\S*|FACS",
    r"TensorBoard|tensorboard\w*|dashboards?|spreadsheets?|worksheets?|billboards?",
    r"as usual|usually",
)
"""Ordinary uses of the same words: hardware, file names of corpora, names of other software."""


def remaining(text):
    """Former terms in a text, exceptions left out."""
    for exception in EXCEPTIONS:
        text = re.sub(exception, " ", text)
    words = re.sub(r"_", " _ ", text)
    del words
    found = {}
    for term, better in TERMS.items():
        match = re.search(rf"(?<![A-Za-z]){'(?:' + term + ')'}(?![A-Za-z])", text, flags=re.IGNORECASE)
        if match:
            start = max(0, match.start() - 40)
            found[match.group()] = (better, text[start : match.end() + 40].replace("\n", " "))
    return found


def public_definitions(path):
    """Names and docstrings of a module's public definitions, with their parameters."""
    tree = ast.parse(path.read_text())
    yield path.stem, ast.get_docstring(tree) or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node) or ""
            if isinstance(node, ast.FunctionDef):
                for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                    yield argument.arg, ""
            else:
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        yield item.target.id, ""


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/README.md")), ids=lambda path: str(path.relative_to(ROOT)))
def test_readme_uses_the_words_of_the_field(path):
    if ".venv" in path.parts:
        pytest.skip("not a file of the project")
    assert not remaining(path.read_text())


@pytest.mark.parametrize(
    "path",
    [p for package in ("lightman_jax", "experiments") for p in sorted((ROOT / package).rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_public_names_and_docstrings_use_the_words_of_the_field(path):
    found = {}
    for name, text in public_definitions(path):
        if not name.startswith("_"):
            found |= remaining(f"{name} {text}")
    assert not found


@pytest.mark.parametrize("command", COMMANDS)
def test_help_uses_the_words_of_the_field(command, help_text):
    assert not remaining(help_text(command))
