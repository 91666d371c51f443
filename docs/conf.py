"""The site: `make docs` builds it into build/docs."""

import importlib.metadata
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

warnings.filterwarnings("ignore", "Unknown section")  # in docstrings of Amaranth

project = "crossdyad"
version = release = importlib.metadata.version("crossdyad")
copyright = "the crossdyad authors"
html_title = "crossdyad"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "mathml", "made"]
exclude_patterns = ["templates", "extensions", "static", "made/readme.md"]
templates_path = ["templates"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # `make notebooks` executes; the outputs are committed

autosummary_generate = True
autosummary_ignore_module_all = True  # modules below a package are found as files
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections name the types
numpydoc_show_class_members = False
default_role = "code"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = html_show_copyright = False
html_last_updated_fmt = None
