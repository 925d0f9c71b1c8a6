# Two commands do all set-up themselves, in .venv:
#   make demo    the main job on this desk: simulated devices, a camera, a broker, the real gateway
#   make test    the whole suite: format, lint, types, import floors, tests
.DELETE_ON_ERROR:
.PHONY: demo test check fast setup mosquitto docs clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
DEMO ?= --for 60s

demo: $(STAMP)
	$(BIN)/gateway demo $(DEMO)

test: $(STAMP) mosquitto check
	$(BIN)/pytest

# Everything but the tests: seconds.
check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# While working: no journeys.
fast: $(STAMP)
	$(BIN)/pytest -m "not journey" -x -q

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh tests/need.sh python3-venv
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[vision,demo,dev]'
	touch $@

mosquitto:
	@command -v mosquitto >/dev/null || test -x /usr/sbin/mosquitto || sh tests/need.sh mosquitto

docs: $(STAMP)
	$(BIN)/python -m config.troubleshooting > TROUBLESHOOTING.md
	$(BIN)/python -m config.catalogue_of_devices > DEVICES.md

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache run
