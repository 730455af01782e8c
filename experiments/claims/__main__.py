"""Run the experiments, print their tables, and keep each as `NAME.json` and `NAME.png`."""

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console

from experiments.claims import __doc__ as about
from experiments.claims import ablations, efficiency, few_data, individuals, robustness, subtlety
from experiments.claims.people import INVENTED, ROUNDS, real_people
from experiments.cli.commands import run_command
from experiments.cli.config import parse_config
from experiments.cli.flags import CommandParser, as_config_error, refuse_unknown
from experiments.reporting.console import make_console
from experiments.run import set_up_jax
from lightman_jax.files import write_whole
from lightman_jax.networks.dual_branch import NetworkConfig

CLAIMS: dict[str, ModuleType] = {
    module.__name__.rsplit(".", 1)[-1]: module
    for module in (few_data, subtlety, individuals, robustness, efficiency, ablations)
}
ON_FLOW = ("few_data", "robustness", "ablations")
FORMAT_VERSION = 1
_SECONDS_A_LINE = 15


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 with one line on standard error if the data cannot be used, 130 or 143 if it was stopped."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(
        "experiments.claims", words, lambda: _run_all(words), remedy="Give a folder that can be written by --workdir"
    )


def _run_all(words: Sequence[str]) -> int:
    parser = CommandParser("claims", about)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(CLAIMS)}; none takes all")
    parser.add_argument(
        "--data_dir", type=Path, help="folder of the public flow release; without it people are invented"
    )
    parser.add_argument("--workdir", type=Path, default=Path("runs") / "claims", help="folder of the results")
    usual = NetworkConfig()
    parser.add_argument("--backbone", default=usual.backbone, help=f"of the networks [{usual.backbone}]")
    parser.add_argument("--normalisation", default=usual.normalisation, help=f"of the networks [{usual.normalisation}]")
    parser.add_argument("--width", type=int, default=usual.width, help=f"of the networks [{usual.width}]")
    options = parser.parse_args(words)
    console = make_console()
    set_up_jax(parse_config([]))
    for name in options.names:
        refuse_unknown("experiment", name, CLAIMS)
    with as_config_error():
        network = NetworkConfig(backbone=options.backbone, normalisation=options.normalisation, width=options.width)
    names = options.names or [name for name in CLAIMS if options.data_dir is None or name in ON_FLOW]
    origin = _origin(options.data_dir)
    options.workdir.mkdir(parents=True, exist_ok=True)
    for name in names:
        _run(name, options.data_dir, network, origin, options.workdir, console)
    return 0


def _run(
    name: str, data_dir: Path | None, network: NetworkConfig, origin: str, workdir: Path, console: Console
) -> None:
    claim, started, rows = CLAIMS[name], time.monotonic(), []
    data, told = "random clips" if claim is efficiency else origin, time.monotonic()
    with console.status(f"{name}: the first trainings") as status:
        for row in claim.run(data_dir, network):
            rows.append(row)
            text = f"{name}: {len(rows)} rows, {time.monotonic() - started:.0f} s"
            if console.is_terminal:
                status.update(text)
            elif time.monotonic() - told > _SECONDS_A_LINE:
                told = time.monotonic()
                console.print(text)
    seconds = time.monotonic() - started
    claim.show(console, rows)
    content = {
        "format_version": FORMAT_VERSION,
        "experiment": name,
        "data": data,
        "network": dataclasses.asdict(network),
        "seconds": round(seconds, 1),
        "rows": [row._asdict() for row in rows],
    }
    write_whole(workdir / f"{name}.json", json.dumps(content, indent=1) + "\n")
    claim.draw(workdir / f"{name}.png", rows, data)
    console.print(f"{name}: {seconds:.0f} s on {data}; results: {workdir / name}.json, .png")


def _origin(data_dir: Path | None) -> str:
    if data_dir is None:
        return f"{INVENTED}; {ROUNDS} populations"
    return f"{real_people(data_dir).data}; six groups of people held out in turn, {ROUNDS} rounds"


if __name__ == "__main__":
    sys.exit(main())
