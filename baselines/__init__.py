"""Synthesis systems, one module each, and the vocoders that turn their spectra into sound."""
