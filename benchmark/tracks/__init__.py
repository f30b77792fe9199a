"""Tracks: trials, metrics and ranking rule of one task each."""
