# make app   the page          make demo  train, evaluate, print the table
# make test  every test        make check lint and types        make bench  measured comparisons
# make lock  requirements.lock
# Each target makes what it needs, once.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
PIP    := $(RUN) -m pip install --quiet --disable-pip-version-check
REAL   := tests/integration/test_worker.py

.PHONY: app demo test check bench screenshots adapters lock clean

app: $(VENV)/.app
	$(RUN) app.py $(ARGS)

demo: $(VENV)/.app
	$(RUN) -m finetuning train sentiment-smollm2-lora $(ARGS)

# Tiny models first, then the real one in the gate, the app and a worker: a core each, and a test on every core. The
# gate is the longest file, so it is named first.
# What is compiled is kept: the suite starts hundreds of processes, and without that each compiles this project anew.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev check browser
	$(RUN) -m pytest -n logical --maxprocesses 4 --dist worksteal tests/unit tests/integration --ignore $(REAL) $(ARGS)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n logical --maxprocesses 2 --dist loadfile eval tests/browser $(REAL) $(ARGS)

check: $(VENV)/.dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: $(VENV)/.dev
	$(RUN) -m benchmarks

screenshots: $(VENV)/.dev browser
	$(RUN) tests/browser/screenshots.py

# The two adapters that ship, trained again from their recipes.
adapters: $(VENV)/.app
	$(RUN) -m finetuning train sentiment-smollm2-lora --export models/bundled/sentiment-smollm2-lora
	$(RUN) -m finetuning train dialogue-smollm2-qlora --export models/bundled/dialogue-smollm2-qlora

# Every version that is installed, for each Python and system that is supported. It keeps those that it has and that
# still fit; ARGS=--upgrade takes the newest.
lock: $(VENV)/.app
	$(PIP) 'uv==0.13.*'
	$(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
		--custom-compile-command 'make lock' $(ARGS) \
		--output-file requirements.lock requirements-dev.txt spaces/builder.txt

clean:
	rm -rf $(VENV)

$(VENV)/.app: requirements.txt requirements.lock
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt -c requirements.lock
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.app
	$(PIP) -r requirements-dev.txt -c requirements.lock
	touch $@

# A browser for the browser tests: any Chromium that is there, else Debian's, else the one Playwright brings.
.PHONY: browser
browser: $(VENV)/.dev
	@command -v chromium chromium-browser google-chrome >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	|| $(RUN) -m playwright install chromium
