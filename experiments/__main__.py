"""`python -m experiments`: what there is to type, in the order in which it is usually wanted."""

import importlib.util
import sys

_COMMANDS = (
    *("run", "predict", "export", "demo", "prepare", "html_report", "compare", "rerun", "select"),
    *("claims", "simulated_training", "benchmark", "endurance"),
)


def main() -> int:
    """Print each command with the first line of its own text; 2, since none was named."""
    print("python -m experiments.COMMAND --help explains a command:", file=sys.stderr)
    for name in _COMMANDS:
        print(f"  {name:<20}{_first_line(name)}", file=sys.stderr)
    return 2


def _first_line(name: str) -> str:
    """Of a module's text, without the command that it repeats and without importing it."""
    spec = importlib.util.find_spec(f"experiments.{name}")
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        line = file.readline().strip().strip('"')
    return line.split("`: ")[-1]


if __name__ == "__main__":
    sys.exit(main())
