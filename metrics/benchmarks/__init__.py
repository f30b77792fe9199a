"""Speed and values of the metrics beside the usual libraries, measured side by side in one run.

``python -m doppelbench.metrics.benchmarks`` prints the table; a library that is not installed is named with
the command that installs it. A comparison is one entry of
:data:`doppelbench.metrics.benchmarks.comparisons.COMPARISONS`.
"""
