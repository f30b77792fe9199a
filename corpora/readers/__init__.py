"""Data-set readers, one module for each official layout."""
