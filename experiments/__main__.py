"""`python -m experiments`: list of the commands."""

import importlib.util
import sys

from experiments.cli.terminal import lossy_output

COMMANDS = (
    *("run", "predict", "evaluate", "export", "demo", "default_model", "prepare", "html_report", "compare", "rerun"),
    *("select", "claims", "benchmark"),
)


def main() -> int:
    """Print every command with its summary; returns 2, since no command was given."""
    with lossy_output():
        print("python -m experiments.COMMAND --help explains a command:", file=sys.stderr)
        for name in COMMANDS:
            print(f"  {name:<20}{_first_line(name)}", file=sys.stderr)
    return 2


def _first_line(name: str) -> str:
    """Summary of a command from its docstring, without importing the module."""
    spec = importlib.util.find_spec(f"experiments.{name}")
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        line = file.readline().strip().strip('"')
    return line.split("`: ")[-1]


if __name__ == "__main__":
    sys.exit(main())
