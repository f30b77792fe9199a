"""Listening tests: design, task sheets, rater page and analysis of votes."""
