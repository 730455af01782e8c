"""How fast the two-level update is: `python -m experiments.benchmark`."""
