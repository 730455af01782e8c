"""One vocabulary: terms that this project has replaced appear in no README, notebook, help text, public name or docstring."""

import ast
import json
import re
from pathlib import Path

import pytest

from experiments.cli.flags import RENAMED_FLAGS, RENAMED_VALUES

ROOT = Path(__file__).parents[2]
REPLACED = {
    r"learners?|(?:rbf|linear|kernel|simple) machines?": "classical baseline",
    r"lanes?": "training job (fold x replica)",
    r"people|persons?|whoever|somebody|nobody": "subjects, unseen subject",
    r"tells?|told|says?|said": "predicts, reports, prints",
    r"held(?![ _-]out)": "cached, stored",
    r"insights?": "saliency",
    r"level[ _]one|level[ _]two": "inner loop, outer loop",
    r"members": "ensemble_size",
    r"relatives": "meta baselines",
    r"usual": "default",
    r"repairs?|repaired": "corrections",
    r"clearness": "signal-to-noise ratio",
    r"turned": "rotated",
    r"films?|recordings?": "videos",
    r"pictures?": "images, figures",
    r"facs": "simulated_au",
    r"personal": "subject_calibration",
    r"endurance|victims?": "fault injection, test run",
    r"boards?|watch": "summary writer, progress",
    r"anew|beside": "again, next to",
    **{name: new for name, new in RENAMED_FLAGS.items() if "_" in name},
    **{name: new for (_, name), new in RENAMED_VALUES.items() if "_" in name},
}
"""Replaced term (a regular expression) -> term of the field."""

EXCEPTIONS = (
    r"SAMM_Micro_FACS_Codes\S*",  # A file of the SAMM release.
    r"`?FACS`?",  # A folder of the CK+ release.
    r"start of the recording",  # Frame numbers of MMEW count from there.
    r"the usual substitute",  # What other papers do.
)


def replaced_terms(text):
    """Replaced terms in a text, each with its replacement and the place."""
    for exception in EXCEPTIONS:
        text = re.sub(exception, " ", text)
    found = {}
    for term, better in REPLACED.items():
        for match in re.finditer(rf"(?<![A-Za-z])(?:{term})(?![A-Za-z])", text, flags=re.IGNORECASE):
            place = text[max(0, match.start() - 40) : match.end() + 40]
            found[match.group()] = f"use: {better}; in: {' '.join(place.split())}"
    return found


def public_texts(path):
    """Module name, names and docstrings of public definitions, names of their parameters and fields."""
    tree = ast.parse(path.read_text())
    yield f"{path.stem} {ast.get_docstring(tree) or ''}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield f"{node.name} {ast.get_docstring(node) or ''}"
        if isinstance(node, ast.FunctionDef):
            yield from (argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
        else:
            targets = (item.target for item in node.body if isinstance(item, ast.AnnAssign))
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("name", ["README.md", "experiments/README.md", "lightman_jax/data/README.md"])
def test_readme_has_no_replaced_term(name):
    assert not replaced_terms((ROOT / name).read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_has_no_replaced_term(path):
    cells = json.loads(path.read_text())["cells"]
    assert not replaced_terms("\n".join("".join(cell["source"]) for cell in cells))


@pytest.mark.parametrize("package", ["lightman_jax", "experiments"])
def test_public_names_docstrings_and_help_have_no_replaced_term(package):
    # The help of a command is made of the docstrings of its module and of the dataclasses of its settings.
    found = {
        str(path.relative_to(ROOT)): terms
        for path in sorted((ROOT / package).rglob("*.py"))
        if (terms := {k: v for text in public_texts(path) for k, v in replaced_terms(text).items()})
    }
    assert not found


@pytest.mark.parametrize("path", [ROOT / "experiments" / "reporting" / "report.html.jinja"], ids=lambda path: path.name)
def test_report_has_no_replaced_term(path):
    assert not replaced_terms(path.read_text())


def test_messages_have_no_replaced_term():
    """Texts of errors and notes: string constants with at least three words."""
    found = {}
    for package in ("lightman_jax", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 2:
                    found |= {f"{path.name}:{node.lineno}: {k}": v for k, v in replaced_terms(node.value).items()}
    assert not found


def test_a_planted_term_is_found():
    assert replaced_terms("one lane a fold").keys() == {"lane"}
    assert replaced_terms("the subjects are held out, their planes relative to the mean").keys() == set()
    assert replaced_terms("--inner_rate=0.1").keys() == {"inner_rate"}
