"""Prediction of facial movements in videos with trained networks: models, movements, table and figures."""
