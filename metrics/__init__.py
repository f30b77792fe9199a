"""Metrics: one file per metric, with its spec, its signature and its statistics; imports no torch."""
