"""Recipes of the `run` verb."""
