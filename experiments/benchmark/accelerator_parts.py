"""Parts of `accelerator`, each in its own process: `python -m experiments.benchmark.accelerator_parts FUNCTION [OPTIONS [WORD]]`.

The last line of the output is the result as JSON.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmark import timings
from experiments.benchmark.growth import measure_folds
from experiments.benchmark.hardware import measure_ceilings, product_errors
from experiments.benchmark.measure import CompiledCall, compile_call, difference, in_float64, interleaved, time_once
from experiments.benchmark.product import make_gradient, network_of, task_mesh
from experiments.benchmark.timings import LOOP, Row
from experiments.benchmark.work import SETTINGS, Setting, draw_work, gigaflop
from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.method_functions import make_method
from lightman_jax.meta.methods import METHODS, MethodConfig, method_config
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.types import Clips, Task

_THREADS = 8
_MOST_ROUNDS = 15
_SHARE_FOR_COMPILING = 0.55


@dataclasses.dataclass(frozen=True)
class Options:
    """What `accelerator` gives to every part: its name and seconds, the folders, and whether the work is small."""

    workdir: Path = Path()
    data_dir: str | None = None
    small: bool = False
    seconds: float = 600.0
    name: str = ""


class Form(NamedTuple):
    """A formulation of the update; `precision` is bfloat16, or that of float32 products: highest (exact) or default."""

    conv_form: Any
    task_mapping: Any
    precision: str

    def __str__(self) -> str:
        return f"{self.conv_form}, tasks by {self.task_mapping}, {self.precision}"


AUTO = Form("auto", "auto", "default")
FORMS = (
    *(Form("closed", mapping, "default") for mapping in ("vmap", "scan")),
    *(Form("closed", "vmap", precision) for precision in ("bfloat16", "highest")),
    Form("plain", "vmap", "default"),
    Form("closed", "scan", "bfloat16"),
    Form("plain", "vmap", "bfloat16"),
    Form("tiled", "vmap", "default"),
)


def device(_: Options) -> Row:
    """Backend, devices and versions."""
    from experiments.evaluation.run_record import describe_machine

    found = describe_machine() | {"kind": jax.devices()[0].device_kind}
    return found | {"float32": product_errors()}


def ceilings(_: Options) -> Row:
    """Measured limits of the device."""
    return {"ceilings": measure_ceilings()}


def gradients(options: Options) -> Row:
    """Store the change of the parameters by one outer step of SGD in float64, for every method and several networks."""
    conv4 = NetworkConfig("conv4", 4, "batch")
    cases: dict[str, tuple[str, NetworkConfig, Any]] = {name: (name, conv4, "auto") for name in METHODS}
    for form in ("closed", "tiled", "plain"):
        cases[f"lightman, {form}"] = "lightman", dataclasses.replace(conv4, width=32, conv_form=form), "auto"
    for mapping in ("vmap", "scan"):
        cases[f"lightman, {mapping}"] = "lightman", NetworkConfig("conv4", 8, "group"), mapping
    for backbone in ("mlp", "resnet12", "resnet18", "vgg16"):
        cases[f"lightman, {backbone}"] = "lightman", dataclasses.replace(conv4, backbone=backbone), "auto"
    cases["lightman, flatten"] = "lightman", dataclasses.replace(conv4, head="flatten"), "auto"
    side = 32
    if options.small:
        side, cases = 4, {name: (name, NetworkConfig(width=4), "auto") for name in ("lightman", "generated")}
    with ThreadPoolExecutor(1 if options.small else _THREADS) as pool:
        methods, networks, mappings = zip(*cases.values(), strict=True)
        changes = list(pool.map(_change, methods, networks, mappings, [side] * len(cases)))
    np.savez(options.workdir / f"{options.name}.npz", **dict(zip(cases, changes, strict=True)))
    return {"cases": len(cases)}


def _change(method: str, network: NetworkConfig, mapping: Any, side: int) -> Any:
    """Change of all parameters by one step, as one vector."""
    rng = np.random.default_rng(0)

    def clips() -> Clips:
        label = np.tile(np.arange(6, dtype=np.int32) % 3, (2, 1))
        image = jnp.asarray(rng.normal(size=(2, 6, side, side, 3)))
        return Clips(image, jnp.asarray(label), jnp.ones((2, 6), bool))

    config = method_config(method, MethodConfig(bilevel=BilevelConfig(inner_steps=2, task_mapping=mapping)))
    functions = make_method(config, network, optax.sgd(1.0))

    @jax.jit
    def change(key: jax.Array, tasks: Task) -> Any:
        before = functions.init(key, (side, side, 3), 3, jnp.float64)
        after, _ = functions.update(before, tasks)
        return jax.tree.map(lambda new, old: new - old, after.params, before.params)

    with in_float64():
        moved = jax.device_get(change(jax.random.key(0), Task(clips(), clips(), clips())))
    return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(moved)])


def predictions(options: Options, precision: str) -> Row:
    """Train and test on stand-in data, with products of the given precision; the table is compared afterwards."""
    jax.config.update("jax_default_matmul_precision", precision)
    words = ["--dataset=smic", "--seeds=1", f"--steps={2 if options.small else 50}", "--baselines=none"]
    return _run(options, options.name, words)


def loso(options: Options) -> Row:
    """Leave-one-subject-out of MEGC2019 with five seeds: seconds with compilation, and once more without."""
    words = ["--dataset=megc2019", "--seeds=5"] if not options.small else ["--dataset=smic", "--seeds=1", "--steps=2"]
    words += [f"--data_dir={options.data_dir}"] if options.data_dir and not options.small else []
    started = time.monotonic()
    first = _run(options, "loso", words)
    # The second run takes less time than the first.
    if options.small or 2 * (time.monotonic() - started) > options.seconds:
        return {"first": first}
    return {"first": first, "second": _run(options, "loso_again", words)}


def _run(options: Options, name: str, words: list[str]) -> Row:
    """Seconds of a whole run and of its training, and its UF1."""
    from experiments.cli.config import parse_config
    from experiments.cli.runtime import set_up_jax
    from experiments.train import train_and_evaluate

    cache = options.workdir / "cache" / jax.default_backend()
    set_up_jax(cache)
    folder = options.workdir / name.replace(", ", "_").replace(" ", "_")
    started = time.monotonic()
    result = train_and_evaluate(parse_config([*words, f"--data_cache={cache}", f"--workdir={folder}"]))
    seconds = time.monotonic() - started
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    trained = max(json.loads(line)["seconds"] for line in lines)
    assert result.scores is not None
    return {"run_seconds": seconds, "training_seconds": trained, "uf1": result.scores.uf1.mean, "folder": str(folder)}


def folds(options: Options) -> Row:
    """Folds of five steps trained per second."""
    points = measure_folds((2, 4) if options.small else (2, 40, 200))
    return {"folds_per_second": max(p.size / p.seconds for p in points), "points": [p._asdict() for p in points]}


def contenders(options: Options, name: str) -> Row:
    """Seconds of an outer gradient in several forms and precisions, and of the PyTorch loop on the same device."""
    started = time.monotonic()
    setting = SETTINGS[name]
    if options.small:
        sizes = {"side": 16, "width": 4, "support": 6, "query": 6, "inner_steps": 1, "tasks": 2}
        setting = dataclasses.replace(setting, **sizes)  # type: ignore[arg-type]
    forms = (AUTO, *(FORMS[:1] if options.small else FORMS if name == "a" else FORMS[:5]))
    compiled, failed = _compiled(setting, forms, _SHARE_FOR_COMPILING * options.seconds)
    calls: dict[str, Callable[[], Any]] = {str(form): program.call for form, program in compiled.items()}
    errors = _errors(setting, calls) if name == "a" else {}
    torch_calls, note = _torch_calls(setting, name)
    calls |= torch_calls
    first = {label: time_once(call) for label, call in calls.items()}
    once = sum(time_once(call) for call in calls.values())
    left = 0.9 * options.seconds - (time.monotonic() - started)
    timed = interleaved(calls, max(1, min(_MOST_ROUNDS, int(left / once) - 1)))
    rows = []
    for label, timing in timed.items():
        row: Row = {
            "contender": label,
            "seconds": timing.median,
            "first_seconds": first[label],
            "rounds": len(timing.seconds),
        }
        row |= {"gigaflop_per_second": gigaflop(setting) / timing.median}
        row |= {f"speed_up over {other}": timing.speed_up(timed[other]) for other in torch_calls}
        row |= {"gradient_error": errors[label]} if label in errors else {}
        rows.append(row)
    for row, program in zip(rows, compiled.values(), strict=False):
        row |= {"compile_seconds": program.compile_seconds, "temporary_megabytes": program.temporary_bytes / 1e6}
    return {"setting": dataclasses.asdict(setting), "rows": rows, "failed": failed, "note": note}


def _compiled(setting: Setting, forms: Any, seconds: float) -> tuple[dict[Form, CompiledCall], dict[str, str]]:
    """Compile the forms in threads; those that fail or take too long are named in the second result."""
    end = time.monotonic() + seconds
    pool = ThreadPoolExecutor(_THREADS)
    futures = {form: pool.submit(_compile, setting, form) for form in forms}
    found: dict[Form, CompiledCall] = {}
    failed: dict[str, str] = {}
    for form, future in futures.items():
        try:
            found[form] = future.result(max(0.0, end - time.monotonic()))
            found[form].call()
        except Exception as error:
            found.pop(form, None)
            failed[str(form)] = f"{type(error).__name__}: {str(error)[:300] or 'not compiled in time'}"
    pool.shutdown(wait=False, cancel_futures=True)
    return found, failed


def _compile(setting: Setting, form: Form) -> CompiledCall:
    half = form.precision == "bfloat16"
    network = network_of(setting, conv_form=form.conv_form, precision="bfloat16" if half else "float32")
    with jax.default_matmul_precision("default" if half else form.precision):
        return compile_call(make_gradient(setting, network, task_mesh(), task_mapping=form.task_mapping), setting)


def _errors(setting: Setting, calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Relative difference of the gradients from that in float64 on the same device."""
    with in_float64():
        inputs = draw_work(setting, dtype=np.float64)
        exact = jax.device_get(jax.jit(make_gradient(setting, network_of(setting), task_mesh()))(*inputs))
    return {label: difference(call(), exact) for label, call in calls.items()}


def _torch_calls(setting: Setting, name: str) -> tuple[dict[str, Callable[[], Any]], str]:
    """The PyTorch loop with TF32 and exact float32 products, if PyTorch computes on the same kind of device; else the reason."""
    try:
        import torch
    except ImportError as error:
        return {}, f"PyTorch is left out: {error}"
    cuda, gpu = torch.cuda.is_available(), jax.default_backend() == "gpu"
    if cuda != gpu:
        return (
            {},
            f"PyTorch {torch.__version__} is left out: it computes on {'a GPU' if cuda else 'the CPU'}, JAX does not",
        )
    from experiments.benchmark import torch_peers

    def at(precision: str, call: Callable[[], Any]) -> Callable[[], Any]:
        def timed() -> Any:
            torch_peers.set_float32(precision)
            return call()

        return timed

    loop = timings.torch_calls({LOOP: "autograd_loop"}, setting)[LOOP]
    found = {f"{LOOP}, {precision}": at(precision, loop) for precision in (("tf32", "ieee") if gpu else ("ieee",))}
    if name == "a" and gpu:
        found["torch.func, vmap over tasks, tf32"] = at(
            "tf32", timings.torch_calls({"": "functional_vmap"}, setting)[""]
        )
    return found, f"PyTorch {torch.__version__}"


FUNCTIONS = {part.__name__: part for part in (device, ceilings, gradients, predictions, loso, folds, contenders)}


def main(function: str, options: str = "{}", *words: str) -> Row:
    """Compute a part."""
    given = json.loads(options)
    given |= {"workdir": Path(given["workdir"])} if "workdir" in given else {}
    found: Row = FUNCTIONS[function](Options(**given), *words)
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])), flush=True)
    # Programs may still be compiling in threads.
    os._exit(0)
