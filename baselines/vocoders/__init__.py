"""Vocoders: from mel spectra to waveforms."""
