"""Presentation of results: terminal tables, figures and the HTML report."""
