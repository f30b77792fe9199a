# Both commands set up what they need (a virtual environment under .venv) and skip what is done already.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
RUN ?= runs/quickstart

# One compute thread a process and passive waiting: spinning barriers on a busy machine cost a factor of 50 and more.
export OMP_WAIT_POLICY ?= PASSIVE
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test test-all lint benchmark docs metrics-page board baseline clean

quickstart: $(VENV)/.installed
	$(BIN)/doppelbench run quickstart-video --out $(RUN)-video
	$(BIN)/doppelbench run quickstart-speech --out $(RUN)-speech
	$(BIN)/doppelbench run quickstart --out $(RUN)
	$(BIN)/doppelbench detect matrix $(RUN) --preset tiny --draws 200 --out $(RUN)-forensics
	$(BIN)/doppelbench board build $(RUN) $(RUN)-video $(RUN)-speech $(RUN)-forensics --out $(RUN)-site
	@echo "report: $(RUN)/report.html; forensics: $(RUN)-forensics/forensics.html; boards: $(RUN)-site/index.html"

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu"

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev .namespace/doppelbench
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p doppelbench.corpora -p doppelbench.engine -p doppelbench.metrics -p doppelbench.baselines \
		-p doppelbench.detectors -p doppelbench.leaderboards -p doppelbench.listening -p doppelbench.benchmark

benchmark: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only -n 0 -m ""

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

board: $(VENV)/.installed
	$(BIN)/doppelbench board build leaderboards/results --out site

# Stores the figures that tests/baseline gates, with a reason: make baseline REASON="..."
baseline: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python tests/baseline/stored_baseline.py "$$REASON"

metrics-page: $(VENV)/.installed-test
	$(BIN)/python docs/generate_metrics.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "doppelbench needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

# The folders of the top level are the packages of the namespace; type checking wants to see them as one.
.namespace/doppelbench:
	mkdir -p .namespace
	ln -sfn .. $@

clean:
	rm -rf $(VENV) .namespace build *.egg-info
