"""Run the studies, print their tables, and write each as `NAME.json` and `NAME.png`."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.claims import __doc__ as about
from experiments.claims import (
    ablations,
    alignment,
    efficiency,
    few_data,
    head_motion,
    leaks,
    robustness,
    simulated_training,
    spotting,
    subject_differences,
    subtlety,
    views,
)
from experiments.claims.subjects import ROUNDS, SYNTHETIC, StudyData, flow_subjects
from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser, ConfigError, as_config_error, refuse_unknown
from experiments.cli.progress import print_progress
from experiments.cli.runtime import set_up_jax
from experiments.cli.terminal import make_console
from experiments.evaluation.records import write_json
from lightman_jax.data.synthetic.face_geometry import neutral_file
from lightman_jax.files import user_path
from lightman_jax.networks.dual_branch import NetworkConfig

_MODULES = (
    *(few_data, subtlety, subject_differences, robustness, efficiency, ablations),
    *(alignment, simulated_training, leaks, views, head_motion, spotting),
)
STUDIES = {module.__name__.rsplit(".", 1)[-1]: module.STUDY for module in _MODULES}
_NETWORK_FLAGS = ("backbone", "normalisation", "width", "view_network")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 with one line on standard error if the data cannot be used, 130 or 143 if it was stopped."""
    return run_command("experiments.claims", argv, _run_all, remedy="Give a writable folder by --workdir")


def _run_all(words: Sequence[str]) -> int:
    parser = CommandParser("claims", about)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(STUDIES)}; default: all")
    parser.add_argument(
        "--data_dir", type=Path, help="folder of the public flow release, or FIRST,SECOND; default: synthetic subjects"
    )
    parser.add_argument(
        "--geometry", type=Path, help="folder of ICT-FaceKit, whose measured heads are simulated; default: patches"
    )
    parser.add_argument("--workdir", type=Path, default=Path("runs") / "claims", help="folder of the results")
    for name in _NETWORK_FLAGS:
        default = getattr(NetworkConfig(), name)
        parser.add_argument(f"--{name}", type=type(default), help=f"{name} of the networks [{default}]")
    options = parser.parse_args(words)
    for name in options.names:
        refuse_unknown("study", name, STUDIES)
    changes = {name: value for name in _NETWORK_FLAGS if (value := getattr(options, name)) is not None}
    with as_config_error():
        networks = {name: dataclasses.replace(study.network, **changes) for name, study in STUDIES.items()}
    flow = None if options.data_dir is None else flow_subjects(options.data_dir, every_view=True)
    usable: tuple[str, ...] = (
        ("either", "synthetic", "random", "heads") if flow is None else ("either", "flow", "groups")
    )
    if flow is not None and flow.micro.views:
        usable = *usable, "views"
    names = options.names or [name for name, study in STUDIES.items() if study.data in usable]
    for name in names:
        _check_data(name, flow)
    geometry = None if options.geometry is None else neutral_file(user_path(options.geometry))
    if geometry and not any(STUDIES[name].geometry for name in names):
        raise ConfigError(f"{', '.join(names)} simulate no measured heads; leave --geometry out")
    console = make_console()
    set_up_jax()
    sources = {"random": "random clips", "heads": "rendered heads", "either": f"{SYNTHETIC}; {ROUNDS} populations"}
    if flow is not None:
        sources["flow"] = f"{flow.data}; trained on {ROUNDS} simulated populations"
        sources["either"] = f"{flow.data}; six groups of subjects tested in turn, {ROUNDS} rounds"
        sources["views"] = f"{sources['either']}; views {', '.join(flow.micro.views)}"
    options.workdir.mkdir(parents=True, exist_ok=True)
    for name in names:
        source = sources.get(STUDIES[name].data, sources["either"])
        given = {"geometry": geometry} if STUDIES[name].geometry else {}
        if geometry and given:
            source += "; measured face geometry of ICT-FaceKit"
        _run(name, {"data_dir": options.data_dir, "network": networks[name]} | given, source, options.workdir, console)
    return 0


def _check_data(name: str, flow: StudyData | None) -> None:
    kind = STUDIES[name].data
    if kind in ("flow", "groups", "views") and flow is None:
        raise ConfigError(f"{name} tests on the public flow release; give its folder by --data_dir")
    if kind == "views" and flow is not None and not flow.micro.views:
        raise ConfigError(
            f"{name} needs clips with several views, and {flow.data} have one; give the second release, or "
            "--data_dir=FIRST,SECOND"
        )
    if kind == "synthetic" and flow is not None:
        text = "varies properties of subjects or videos that the flow release does not have; leave --data_dir out"
        raise ConfigError(f"{name} {text}")


def _run(name: str, given: dict[str, Any], data: str, workdir: Path, console: Console) -> None:
    study, path, rows = STUDIES[name], workdir / name, []
    started = time.monotonic()
    with console.status(f"{name}: first trainings") as status:
        for row in study.run(**given):
            rows.append(row)
            text = f"{name}: {len(rows)} rows, {time.monotonic() - started:.0f} s"
            if console.is_terminal:
                status.update(text)
            else:
                print_progress(console.print, text)
    seconds = time.monotonic() - started
    study.show(console, rows, study.title)
    content = {
        "study": name,
        "data": data,
        "network": dataclasses.asdict(given["network"]),
        "seconds": round(seconds, 1),
    }
    write_json(path.with_suffix(".json"), content | {"rows": [row._asdict() for row in rows]})
    study.draw(path.with_suffix(".png"), rows, study.title, data)
    console.print(f"{name}: {seconds:.0f} s on {data}; results: {path}.json, {path}.png")


if __name__ == "__main__":
    sys.exit(main())
