"""Experiments of papers that are more than a table of systems and metrics."""
