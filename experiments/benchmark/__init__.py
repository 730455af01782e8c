"""`python -m experiments.benchmark`: speed of the bi-level update compared with PyTorch and plain JAX."""
