"""The main job: corpus, training, synthesis, scoring, figures and report, each stage resumable.

A stage reads what the one before left in the run folder, so a killed run goes on where it was when the same command is
given again. Everything heavy happens in worker processes with one compute thread each; the parent only plans and records.
"""
