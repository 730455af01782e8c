"""Every module imports only from modules above it in the house's order, and the library never from the experiments."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = [
    "lightman_jax.files",
    "lightman_jax.types",
    "lightman_jax.metrics",
    "lightman_jax.preprocessing",
    "lightman_jax.losses.classification",
    "lightman_jax.losses.alignment",
    "lightman_jax.networks.convolution",
    "lightman_jax.networks.normalization",
    "lightman_jax.networks.backbones",
    "lightman_jax.networks.dual_branch",
    "lightman_jax.meta.inner_loop",
    "lightman_jax.meta.bilevel",
    "lightman_jax.meta.label_generator",
    "lightman_jax.meta.methods",
    "lightman_jax.meta.adaptation",
    "lightman_jax.training.tasks",
    "lightman_jax.training.leakage",
    "lightman_jax.training.devices",
    "lightman_jax.training.numerics",
    "lightman_jax.training.program",
    "lightman_jax.training.cross_validation",
    "lightman_jax.model.ensemble",
    "lightman_jax.model.saved_model",
    "lightman_jax.model.export",
    "lightman_jax",
    "lightman_jax.data",
    "lightman_jax.data.corpora.catalog",
    "lightman_jax.data.corpora.action_units",
    "lightman_jax.data.corpora.records",
    "lightman_jax.data.corpora.labels",
    "lightman_jax.data.corpora.tables",
    "lightman_jax.data.corpora.trees",
    "lightman_jax.data.corpora.corrections",
    "lightman_jax.data.corpora.reader",
    "lightman_jax.data.corpora.coding",
    "lightman_jax.data.corpora.flow_release",
    "lightman_jax.data.corpora.smic",
    "lightman_jax.data.corpora.smic_e",
    "lightman_jax.data.corpora.casme",
    "lightman_jax.data.corpora.samm",
    "lightman_jax.data.corpora.samm_long",
    "lightman_jax.data.corpora.mmew",
    "lightman_jax.data.corpora.casme_squared",
    "lightman_jax.data.corpora.casme3",
    "lightman_jax.data.corpora.fourdme",
    "lightman_jax.data.corpora.dfme",
    "lightman_jax.data.corpora.ck_plus",
    "lightman_jax.data.corpora.oulu_casia",
    "lightman_jax.data.corpora.fer2013",
    "lightman_jax.data.corpora.user_table",
    "lightman_jax.data.corpora",
    "lightman_jax.data.vision.images",
    "lightman_jax.data.vision.footage",
    "lightman_jax.data.vision.faces",
    "lightman_jax.data.vision.optical_flow",
    "lightman_jax.data.vision.apex",
    "lightman_jax.data.synthetic.faces",
    "lightman_jax.data.synthetic.simulated_au",
    "lightman_jax.data.preparation.representation",
    "lightman_jax.data.vision.recording",
    "lightman_jax.data.vision.course",
    "lightman_jax.data.vision.visibility",
    "lightman_jax.data.vision.spotting",
    "lightman_jax.data.preparation.inspect_clip",
    "lightman_jax.data.preparation.clip_cache",
    "lightman_jax.data.preparation.check",
    "lightman_jax.data.preparation.tfds_builder",
    "lightman_jax.data.preparation.prepare",
    "lightman_jax.data.preparation.load",
    "lightman_jax.data.synthetic.stand_in_files",
    "lightman_jax.data.synthetic.stand_in_micro",
    "lightman_jax.data.synthetic.stand_in_macro",
    "lightman_jax.data.synthetic.stand_in",
    "lightman_jax.model.checkpoint",
    "experiments",
    "experiments.cli.flags",
    "experiments.evaluation.baselines",
    "experiments.evaluation.machines",
    "experiments.cli.config",
    "experiments.cli.commands",
    "experiments.evaluation.locks",
    "experiments.demo",
    "experiments.evaluation.inventory",
    "experiments.evaluation.stored_config",
    "experiments.reporting.pictures",
    "experiments.reporting.data_sheet",
    "experiments.prepare",
    "experiments.evaluation.protocols",
    "experiments.evaluation.scores",
    "experiments.reporting.console",
    "experiments.prediction.models",
    "experiments.export",
    "experiments.prediction.movements",
    "experiments.prediction.table",
    "experiments.prediction.figures",
    "experiments.predict",
    "experiments.compare",
    "experiments.claims.simulated_training",
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
    "experiments.cli.hosts",
    "experiments.evaluation.fold_store",
    "experiments.cli.progress",
    "experiments.evaluation.cross_validation",
    "experiments.evaluation.groups",
    "experiments.evaluation.few_shot",
    "experiments.evaluation.baseline_runs",
    "experiments.reporting.insight",
    "experiments.evaluation.held_results",
    "experiments.html_report",
    "experiments.evaluation.run_records",
    "experiments.train",
    "experiments.evaluation.dry_run",
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
    "tests.endurance",
    "tests.endurance.small_run",
    "tests.endurance.kills",
    "tests.endurance.damage",
    "tests.endurance.mutated_files",
    "tests.endurance.mutations",
    "tests.endurance.small_disk",
    "tests.endurance.long_run",
    "tests.endurance.__main__",
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
