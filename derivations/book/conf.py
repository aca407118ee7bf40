"""The settings of Sphinx for the book, which needs no network: `make book`."""

project = "refmeta"
smartquotes = False  # x' is a symbol
html_title = "refmeta: meta-reinforcement learning"
extensions = ["myst_parser", "sphinx.ext.mathjax"]
root_doc = "index"
myst_enable_extensions = ["attrs_block"]  # the class of a formula's label
myst_heading_anchors = 6
mathjax_path = "tex-svg-full.js"  # beside the pages, and with all that it needs in one file
mathjax3_config = {"svg": {"scale": 0.92}}
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["book.css"]
pygments_style = "tango"
pygments_dark_style = "monokai"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
