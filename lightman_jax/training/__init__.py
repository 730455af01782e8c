"""Training of cross-validation folds on one or more devices."""
