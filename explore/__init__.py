"""Sweeps and searches over recipes, and what can be said of their results."""
