"""Training, worker pools, run folders and the record of the environment."""
