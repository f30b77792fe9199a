"""Tracks, the verbs of the command line, and the recipes."""
