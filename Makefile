# Two commands matter: `make demo` and `make test`. Both fetch what they need from the package registry.
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := $(UV) run --all-extras
export UV_PYTHON_DOWNLOADS ?= never
export JAX_PLATFORMS ?= cpu
# containers set it; without compiled files every process reads all sources again, a second and more for JAX alone
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test newest evidence bench lint notebooks check-notebooks docs picture

demo: $(UV)          ## a chip learns to read digits: trained, emitted, co-simulated, built
	$(UV) run --no-dev --extra sim --extra synth crossdyad demo

test: $(UV)          ## everything that is checked in minutes
	$(RUN) pytest -q -n 2 -m "not slow"

newest: $(UV)        ## blocks, recipes, rules and commands on another Python, by default the newest one that is supported
	UV_PROJECT_ENVIRONMENT=.build/newest $(UV) run -q --all-extras --python $${PYTHON:-3.13} pytest -q -n 2 \
		-m "not slow" $(patsubst %,tests/test_%.py,cli crossbar data emulator_chip laws misuse models_training recipe rules unit)

evidence: $(UV)      ## the long runs behind the figures
	$(RUN) pytest -q -m slow

bench: $(UV)         ## speed and learning figures, as ratios of one run; rows.py, published.py and routed.py take hours, cifar.py, mnist.py and held.py ask for something: they are run on their own
	for b in $(filter-out %/rows.py %/published.py %/published_nets.py %/cifar.py %/mnist.py %/held.py %/routed.py, $(wildcard benchmarks/*.py)); do $(RUN) python $$b || exit 1; done

lint: $(UV)
	$(RUN) ruff check .
	$(RUN) ruff format --check --quiet .
	mkdir -p .build && ln -sfn .. .build/crossdyad
	$(RUN) mypy

notebooks: $(UV)     ## execute them in place; git sees a change only where an output has changed
	$(RUN) --group notebooks python notebooks/execute.py

check-notebooks: $(UV)   ## they run, and say what is committed
	$(RUN) --group notebooks pytest -q notebooks

docs: $(UV)          ## the site, into build/docs; a warning is an error, and so is anything that would be loaded from the network
	$(RUN) --group docs sphinx-build -W --keep-going -q -j auto docs build/docs
	! grep -rlE '<(script|link|img)[^>]+(src|href)="(https?:)?//' build/docs --include='*.html'

picture: $(UV)       ## the README's picture, trained and compared anew
	$(RUN) python docs/picture.py

.uv/bin/uv:
	python3 -m pip install --quiet --target .uv uv
