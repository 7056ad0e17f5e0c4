# make lab    set up .venv if needed and open the notebooks        make lab ARGS="--port 9999 --no-browser"
# make test   set up .venv if needed and run every test            make test TESTS=tests/project
# PYTHON=python3.12 says which Python .venv is made with; one made with another is then made anew.
PYTHON ?= python3
TESTS ?= tests notebooks
NOTEBOOKS ?=
NOTEBOOK ?=
ARGS ?=
PY := .venv/bin/python
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=180 --nbval-sanitize-with=tests/nbval_sanitize.cfg
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test browser floors lint links notebooks check times babi site html lite clean FORCE
.NOTPARALLEL:

lab: .venv/has-lab
	$(PY) -m jupyterlab notebooks $(AS_ROOT) $(ARGS)

test: lint
	$(PY) -m pytest $(NBVAL) tests/conftest.py $(TESTS) $(ARGS)

browser: .venv/has-test .venv/has-browser  # the notebooks in JupyterLab and the copy for reading, driven in Chromium, which must be installed
	RRNN_BROWSER=required $(PY) -m pytest tests/conftest.py tests/notebooks/test_browser.py $(ARGS)

floors: .venv/has-test  # the unit tests with the oldest packages allowed, in an environment that is thrown away
	$(PY) tools/run_floors.py $(ARGS)

lint: .venv/has-test
	$(PY) -m ruff check .
	$(PY) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*
	$(PY) -m check_jsonschema --builtin-schema custom.github-workflows-require-timeout .github/workflows/*
	.venv/bin/zizmor --offline --quiet --persona auditor --min-severity low .github

links: .venv/has-lab  # write the navigation, the launch links and the Colab cell of the notebooks
	$(PY) tools/link_notebooks.py $(ARGS)

notebooks: .venv/has-lab  # execute the notebooks and store their outputs
	$(PY) tools/rebuild_notebooks.py $(NOTEBOOKS) $(ARGS)

check: .venv/has-lab  # execute the notebooks and compare, writing nothing
	$(PY) tools/rebuild_notebooks.py --check $(NOTEBOOKS) $(ARGS)

times: .venv/has-lab  # the rows of the table in README.md, measured here
	$(PY) tools/rebuild_notebooks.py --check --times $(NOTEBOOKS) $(ARGS)

babi: .venv/has-lab  # the runs on real stories: make babi DATA=the folder that holds them
	$(PY) tools/run_babi.py --data $(or $(DATA),$(error say where the stories are: make babi DATA=...)) $(ARGS)

site: .venv/has-test  # the copy for reading in a browser, with the pictures of every setting of every control
	rm -rf build/site
	$(PY) tools/build_site.py $(ARGS)

html: .venv/has-test  # one page of it: make html NOTEBOOK=notebooks/01_multi_head_attention.ipynb
	$(PY) tools/build_site.py $(or $(NOTEBOOK),$(error say which page: make html NOTEBOOK=notebooks/...)) $(ARGS)

lite: .venv/has-lab .venv/has-lite  # the site where the notebooks run in the browser; running needs a network
	$(PY) tools/build_lite.py $(ARGS)

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------------------------
# .venv: how it is made, and a stamp for each set of packages that it has
# ---------------------------------------------------------------------------------------------------------------------
UV := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),uv pip install --python $(PY),$(PY) -m pip install --disable-pip-version-check --no-compile) --quiet
NEEDED := $(shell sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)
MADE_WITH := import sys; print(sys.base_prefix, sys.version)
VERSION := import sys; print(sys.version.split()[0])
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < tuple(map(int, "$(NEEDED)".split("."))))

# A Python that was named, by make PYTHON=... or in the environment, must be the one that .venv was made with.
SAME := $(if $(filter file,$(origin PYTHON)),,&& test "`$(PY) -c '$(MADE_WITH)'`" = "`$(PYTHON) -c '$(MADE_WITH)' 2>&1`")
.venv/made: FORCE
	@test -e $@ && $(PY) -c '' 2>/dev/null && test -n "$(UV)$(wildcard .venv/bin/pip)" $(SAME) || { \
	$(PYTHON) -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { \
		echo "Python $(NEEDED) or later is needed, and $(PYTHON) is `$(PYTHON) -c '$(VERSION)' 2>/dev/null || echo not there`." >&2; \
		echo "Install one and name it: make PYTHON=python$(NEEDED) $(or $(firstword $(MAKECMDGOALS)),lab)" >&2; exit 1; }; \
	rm -rf .venv; $(if $(UV),uv venv --quiet --python "$(PYTHON)",$(PYTHON) -m venv) .venv && touch $@; }

# A stamp is written last, so an interrupted install is done again. The import builds matplotlib's font cache.
.venv/has-%: pyproject.toml .venv/made
	@echo "Installing into .venv what pyproject.toml asks for ($*): once, and from the network"
	@$(INSTALL) --editable '.$(if $(filter-out lab,$*),[$*])' || { $(PY) -c "$$NOT_INSTALLED" $*; exit 1; }
	@$(PY) -c 'import matplotlib.font_manager'
	@touch .venv/has-lab $@

define NOT_INSTALLED
import re, sys, tomllib
from importlib.metadata import distributions
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
wanted = project["dependencies"] + project.get("optional-dependencies", {}).get(sys.argv[1], [])
there = {re.sub("[-_.]+", "-", package.name.lower()) for package in distributions()}
missing = [text for text in wanted if re.split("[<>=]", text)[0] not in there]
what = ", ".join(missing) or "this folder (setuptools is needed for that)"
sys.exit(f"Could not install {what}. This needs the network, or an index of packages that pip or uv is told of.")
endef
export NOT_INSTALLED

FORCE:
