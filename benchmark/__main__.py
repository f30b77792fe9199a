"""``python -m doppelbench.benchmark`` is the command line."""

from doppelbench.benchmark.cli import main

main()
