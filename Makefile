# make lab    set up .venv if needed and open the notebooks        make lab ARGS="--port 9999 --no-browser"
# make test   set up .venv if needed and run every test            make test TESTS=tests/test_environment.py
PYTHON ?= python3
TESTS ?= tests notebooks
NOTEBOOKS ?=
NOTEBOOK ?=
ARGS ?=
PY := .venv/bin/python
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=180 --nbval-sanitize-with=tests/nbval_sanitize.cfg
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test browser floors lint links notebooks check times site html lite clean
.NOTPARALLEL:

lab: .venv/stamp
	$(PY) -m jupyterlab notebooks $(AS_ROOT) $(ARGS)

test: lint
	$(PY) -m pytest $(NBVAL) tests/conftest.py $(TESTS) $(ARGS)

browser: .venv/browser  # every notebook in JupyterLab, driven in Chromium, which must be installed
	RRNN_BROWSER=required $(PY) -m pytest tests/test_browser.py $(ARGS)

.venv/browser: .venv/stamp
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	@touch $@

floors:  # the unit tests with the oldest packages allowed, in an environment that is thrown away
	$(PYTHON) tools/run_floors.py $(ARGS)

lint: .venv/stamp
	$(PY) -m ruff check .

links: .venv/stamp  # write the navigation, the launch links and the Colab cell of the notebooks
	$(PY) tools/link_notebooks.py $(ARGS)

notebooks: .venv/stamp  # execute the notebooks and store their outputs
	$(PY) tools/rebuild_notebooks.py $(NOTEBOOKS) $(ARGS)

check: .venv/stamp  # execute the notebooks and compare, writing nothing
	$(PY) tools/rebuild_notebooks.py --check $(NOTEBOOKS) $(ARGS)

times: .venv/stamp  # the rows of the table in README.md, measured here
	$(PY) tools/rebuild_notebooks.py --check --times $(NOTEBOOKS) $(ARGS)

site: .venv/stamp  # the copy for reading in a browser, made from the stored outputs
	rm -rf build/site
	$(PY) tools/build_site.py $(ARGS)

html: .venv/stamp  # one page of it: make html NOTEBOOK=notebooks/01_multi_head_attention.ipynb
	$(PY) tools/build_site.py $(or $(NOTEBOOK),$(error say which page: make html NOTEBOOK=notebooks/...)) $(ARGS)

lite: .venv/lite  # the site where the notebooks run in the browser; running needs a network
	$(PY) tools/build_lite.py $(ARGS)

.venv/lite: .venv/stamp
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[lite]'
	@touch $@

# The stamp is written last, so an interrupted install is done again. The import builds matplotlib's font cache.
.venv/stamp: pyproject.toml
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[test,site]'
	@$(PY) -c 'import matplotlib.font_manager' && touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +
