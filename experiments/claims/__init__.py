"""`python -m experiments.claims [NAME ...] [--data_dir=FLOW]`: what the paper's abstract claims, as experiments.

One file an experiment: `few_data`, `subtlety`, `individuals`, `robustness`, `efficiency`, `ablations`. Without `--data_dir` the
people are invented, so that the truth is known; with it `few_data`, `robustness` and `ablations` run on the public flow
release.
"""
