"""Every module imports only from modules above it in the house's order, and the library never from the experiments."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    "lightman_jax.files",
    "lightman_jax.types",
    "lightman_jax.metrics",
    "lightman_jax.flow",
    "lightman_jax.losses",
    "lightman_jax.alignment",
    "lightman_jax.convolution",
    "lightman_jax.networks",
    "lightman_jax.backbones",
    "lightman_jax.branches",
    "lightman_jax.level_one",
    "lightman_jax.bilevel",
    "lightman_jax.label_generator",
    "lightman_jax.methods",
    "lightman_jax.adaptation",
    "lightman_jax.tasks",
    "lightman_jax.leakage",
    "lightman_jax.devices",
    "lightman_jax.precision",
    "lightman_jax.lane",
    "lightman_jax.folds",
    "lightman_jax.ensemble",
    "lightman_jax.exported",
    "lightman_jax.export",
    "lightman_jax",
    "lightman_jax.data",
    "lightman_jax.data.catalog",
    "lightman_jax.data.action_units",
    "lightman_jax.data.clips",
    "lightman_jax.data.labels",
    "lightman_jax.data.layouts.tables",
    "lightman_jax.data.layouts.trees",
    "lightman_jax.data.layouts.repairs",
    "lightman_jax.data.layouts.annotated",
    "lightman_jax.data.layouts.coding",
    "lightman_jax.data.layouts.flow_release",
    "lightman_jax.data.layouts.smic",
    "lightman_jax.data.layouts.smic_e",
    "lightman_jax.data.layouts.casme",
    "lightman_jax.data.layouts.samm",
    "lightman_jax.data.layouts.samm_long",
    "lightman_jax.data.layouts.mmew",
    "lightman_jax.data.layouts.casme_squared",
    "lightman_jax.data.layouts.casme3",
    "lightman_jax.data.layouts.fourdme",
    "lightman_jax.data.layouts.dfme",
    "lightman_jax.data.layouts.ck_plus",
    "lightman_jax.data.layouts.oulu_casia",
    "lightman_jax.data.layouts.fer2013",
    "lightman_jax.data.layouts.user_table",
    "lightman_jax.data.layouts",
    "lightman_jax.data.images",
    "lightman_jax.data.footage",
    "lightman_jax.data.faces",
    "lightman_jax.data.optics",
    "lightman_jax.data.apex",
    "lightman_jax.data.simulator",
    "lightman_jax.data.facs",
    "lightman_jax.data.motion",
    "lightman_jax.data.recording",
    "lightman_jax.data.course",
    "lightman_jax.data.visibility",
    "lightman_jax.data.spotting",
    "lightman_jax.data.inspection",
    "lightman_jax.data.store",
    "lightman_jax.data.check",
    "lightman_jax.data.builder",
    "lightman_jax.data.preparation",
    "lightman_jax.data.source",
    "lightman_jax.data.stand_in_files",
    "lightman_jax.data.stand_in_micro",
    "lightman_jax.data.stand_in_macro",
    "lightman_jax.data.stand_in",
    "lightman_jax.checkpoint",
    "experiments",
    "experiments.flags",
    "experiments.baselines",
    "experiments.machines",
    "experiments.config",
    "experiments.commands",
    "experiments.locks",
    "experiments.demo",
    "experiments.inventory",
    "experiments.stored_config",
    "experiments.pictures",
    "experiments.sheet",
    "experiments.prepare",
    "experiments.protocols",
    "experiments.scores",
    "experiments.report",
    "experiments.models",
    "experiments.export",
    "experiments.movements",
    "experiments.prediction_table",
    "experiments.prediction_pictures",
    "experiments.predict",
    "experiments.compare",
    "experiments.simulated_training",
    "experiments.benchmark",
    "experiments.benchmark.work",
    "experiments.benchmark.measure",
    "experiments.benchmark.product",
    "experiments.benchmark.plain_jax",
    "experiments.benchmark.torch_peers",
    "experiments.benchmark.process",
    "experiments.benchmark.ceilings",
    "experiments.benchmark.growth",
    "experiments.benchmark.hosts",
    "experiments.benchmark.picture",
    "experiments.benchmark.__main__",
    "experiments.hosts",
    "experiments.lanes",
    "experiments.watch",
    "experiments.training",
    "experiments.groups",
    "experiments.episodes",
    "experiments.baseline_runs",
    "experiments.insight",
    "experiments.held_results",
    "experiments.html_report",
    "experiments.run_records",
    "experiments.train",
    "experiments.dry_run",
    "experiments.run",
    "experiments.rerun",
    "experiments.select",
    "experiments.claims",
    "experiments.claims.people",
    "experiments.claims.learners",
    "experiments.claims.sweep",
    "experiments.claims.few_data",
    "experiments.claims.subtlety",
    "experiments.claims.individuals",
    "experiments.claims.robustness",
    "experiments.claims.efficiency",
    "experiments.claims.ablations",
    "experiments.claims.__main__",
    "experiments.endurance",
    "experiments.endurance.victim",
    "experiments.endurance.kills",
    "experiments.endurance.damage",
    "experiments.endurance.mutated_files",
    "experiments.endurance.mutations",
    "experiments.endurance.small_disk",
    "experiments.endurance.long_run",
    "experiments.endurance.__main__",
    "experiments.__main__",
]
HEAVY = {
    "cv2": {"images", "footage", "recording", "demo", "optics", "inspection", "store", "robustness", "mutated_files"},
    "skimage": {"faces", "optics", "demo"},
    "tensorflow_datasets": {"builder", "source"},
}


def modules():
    for package in ("lightman_jax", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_module_imports_only_from_above(name, path):
    assert name in ORDER, f"{name} has no place in the house yet; give it one in ORDER"
    place = ORDER.index(name)
    for target in imported(path):
        if target in ORDER and target != name:
            assert ORDER.index(target) < place, f"{name} imports {target}, which stands below it"
        top = target.split(".")[0]
        if top in HEAVY:
            assert path.stem in HEAVY[top], f"{name} imports {top}, whose rooms are {HEAVY[top]}"


def test_importing_the_library_loads_no_picture_or_dataset_package():
    heavy = ("cv2", "skimage", "tensorflow_datasets", "matplotlib")
    code = f"import sys, lightman_jax; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
