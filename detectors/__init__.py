"""Real-vs-fake detectors, one module each, and their protocols."""
