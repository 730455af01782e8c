"""Imports run one way: each folder imports only from lower folders, the library never from commands, no product from tests."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [
    ("lightman_jax.checks",),
    ("lightman_jax.types", "lightman_jax.files", "lightman_jax.metrics"),
    ("lightman_jax.preprocessing",),
    ("lightman_jax.data.records",),
    ("lightman_jax.data.folders", "lightman_jax.data.tables"),
    ("lightman_jax.data.corpora",),
    ("lightman_jax.data.vision",),
    ("lightman_jax.data.synthetic",),
    ("lightman_jax.data.preparation",),
    ("lightman_jax.losses", "lightman_jax.networks"),
    ("lightman_jax.meta",),
    ("lightman_jax.training",),
    ("lightman_jax.model",),
    ("lightman_jax",),
    ("experiments.cli",),
    ("experiments.evaluation",),
    ("experiments.reporting",),
    ("experiments.prediction",),
    ("experiments",),
    ("experiments.benchmark",),
    ("experiments.claims",),
]
"""From the first floor up; folders of one floor do not import each other. `experiments` itself holds the commands."""

LEVEL = {name: level for level, names in enumerate(FOLDERS) for name in names}
HEAVY = {
    "cv2": {"lightman_jax.data", "experiments.demo", "experiments.prediction", "experiments.claims.robustness"},
    "skimage": {"lightman_jax.data.vision", "lightman_jax.data.synthetic", "experiments.demo"},
    "PIL": {"lightman_jax.data.vision"},
    "tifffile": {"lightman_jax.data.vision"},
    "tensorflow_datasets": {"lightman_jax.data.preparation"},
    "sklearn": {"experiments.evaluation.classical_baselines", "experiments.claims"},
    "matplotlib": {"experiments", "lightman_jax.data.vision.head_motion"},
}
"""Packages that take long to import or need system libraries, and the only modules or folders that may import them."""


def modules():
    for package in ("lightman_jax", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def folder_of(module):
    """The longest listed folder that contains a module; None for a package outside the project."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in LEVEL), None)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if folder_of(inner) not in (None, folder_of(node.module)) else node.module


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_module_imports_only_from_its_own_folder_and_lower_ones(name, path):
    own = folder_of(name)
    # The package `lightman_jax.data` and the like hold no code of their own.
    assert own is not None
    for target in imported(path):
        other = folder_of(target)
        assert target.split(".")[0] != "tests", f"{name} imports {target}"
        if other is not None and other != own:
            assert LEVEL[other] < LEVEL[own], f"{name} imports {target}, which is not below it"
        allowed = HEAVY.get(target.split(".")[0])
        if allowed is not None:
            assert any(name == a or name.startswith(f"{a}.") for a in allowed), f"{name} imports {target}"


def test_there_are_few_folders_and_commands():
    assert (
        len(list((ROOT / "lightman_jax").glob("*.py"))) + len(list((ROOT / "lightman_jax").glob("*/__init__.py"))) <= 12
    )
    entries = [path for path in (ROOT / "experiments").glob("*") if path.suffix == ".py" or path.is_dir()]
    assert len([path for path in entries if path.name != "__pycache__"]) <= 20


def test_importing_the_library_loads_no_image_or_dataset_package():
    heavy = ("cv2", "skimage", "PIL", "tifffile", "tensorflow_datasets", "matplotlib", "sklearn")
    code = f"import sys, lightman_jax; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
