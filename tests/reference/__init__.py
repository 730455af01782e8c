"""Independent oracles: nothing here imports the package."""
