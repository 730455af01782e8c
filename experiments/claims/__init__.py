"""`python -m experiments.claims [NAME ...] [--data_dir=FLOW] [--geometry=FOLDER]`: studies on the claims of the paper's abstract.

One file per study: `few_data`, `subtlety`, `subject_differences`, `robustness`, `efficiency`, `ablations`, `alignment`,
`simulated_training`; `leaks` measures what a leak adds; `head_motion` and `spotting` measure flow and spotting on rendered heads
that also move. Without `--data_dir` the subjects are synthetic, so that the truth is known. With it, `few_data`, `robustness`,
`ablations`, `alignment`, `simulated_training` and `leaks` run on the public flow release. With `--geometry`, the simulated clips of
`alignment` and `simulated_training` show measured heads. `experiments/README.md` has the results and times to expect.
"""
