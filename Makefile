PYTHON ?= python3
VENV := .venv/.ready
RUN := .venv/bin/python
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
	XLA_FLAGS='--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1'

.PHONY: help demo test test-kernels deep field bench bench-compare vectors vectors-check pages figures notebooks book \
	test-peers lint clean

help:  ## print the targets
	@echo "make TARGET; each makes .venv and installs into it if need be."
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)  ## a tour: a mistake is named, starts are compared, a picture
	$(RUN) -m refmeta demo

test: $(VENV)  ## run the whole suite, derivations included
	$(RUN) -m pytest

test-kernels: $(VENV)  ## the numerical tests under several BLAS kernels
	$(RUN) tests/kernels.py

deep: $(VENV)  ## the suite with 5,000 examples for each property
	HYPOTHESIS_PROFILE=deep $(RUN) -m pytest

field: $(VENV)  ## diagnose some hundred wrong implementations by others
	$(ONE_THREAD) $(RUN) -m tests.oracle.field

bench: $(VENV)  ## time everything beside floors and peers; WHAT=SUBJECT (any other word lists them), JSON=FILE
	$(ONE_THREAD) $(RUN) tests/benchmarks $(WHAT) $(if $(JSON),--json $(JSON))

bench-compare: $(VENV)  ## time the library of the commit BASE=REV and this one; WHAT=SUBJECT
	$(ONE_THREAD) $(RUN) tests/benchmarks/compare.py $(WHAT) --revision $(BASE)

vectors: $(VENV)  ## derive every expected value of the vectors again, and write it
	$(RUN) -m refmeta.oracle.renew

vectors-check: $(VENV)  ## the same, writing nothing: fails on any change
	$(RUN) -m refmeta.oracle.renew --check

figures: $(VENV)  ## draw the figures of the chapters again; installs matplotlib
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[figures]'
	for script in $(filter-out %/style.py,$(wildcard derivations/figures/*.py)); do $(ONE_THREAD) $(RUN) $$script || exit 1; done

pages: $(VENV)  ## write the list of public names and the table of suites again
	$(RUN) tests/pages.py

notebooks: $(VENV)  ## write every chapter as an executed notebook: build/notebooks
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[book]'
	$(RUN) -m derivations.book.publish notebooks

book: $(VENV)  ## write the chapters as a web site that needs no network: build/book
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[book]'
	$(RUN) -m derivations.book.publish book

test-peers: $(VENV)  ## check JAX, PyTorch and Node end to end; installs them
	$(RUN) -m pip install --quiet --disable-pip-version-check torch==2.13.0 --editable '.[peers,figures,scale]'
	$(RUN) -m pytest tests/peers tests/commands/test_demo.py tests/commands/test_experiment.py

lint: $(VENV)  ## ruff and mypy
	$(RUN) -m pip install --quiet --editable '.[lint]'
	$(RUN) -m ruff check --line-length 120 --select E,F,I,B,UP --ignore E501,E731 \
		--per-file-ignores 'derivations/exercises/*.py:F401' refmeta tests derivations
	$(RUN) -m mypy

clean:  ## remove .venv and caches
	rm -rf .venv build *.egg-info .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@
