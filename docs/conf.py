"""How Sphinx makes the site from this folder: ``sphinx-build -W docs site``."""

import re
from importlib.metadata import version as version_of

project = "imp-parallel"
author = "the authors of imp-parallel"
version = release = version_of("imp-parallel-core")
html_title = f"imp-parallel {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_show_copyright = False
exclude_patterns = ["pictures"]

myst_heading_anchors = 3  # pages link to each other's headings
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}
nitpicky = False  # types of other packages have no pages here
copybutton_exclude = ".linenos, .gp"
napoleon_use_ivar = True  # attributes of named tuples are described once


# Documents of the repository that pages include have links that hold in the repository. In the
# site, a plugin's README is a page in reference/plugins, and what has no page is named without a
# link.
_LINKS = (
    (re.compile(r"\]\((?:\.\./)*docs/"), "](/"),
    (re.compile(r"\]\(\.\./\.\./README\.md(#[\w-]+)?\)"), "](/index.md)"),
    (re.compile(r"\]\((?:\.\./)*(?:plugins/)?(\w+)/README\.md"), r"](/reference/plugins/\1.md"),
    (re.compile(r"\]\((?:\.\./)*examples/\w+\.py\)"), "](/examples.md)"),
    (re.compile(r"\[([^\]]+)\]\((?!https?:)[\w./-]*(?:\.py|tests/[\w/-]+)\)"), r"\1"),
)


def _turn_links(text: list[str]) -> None:
    for pattern, replacement in _LINKS:
        text[0] = pattern.sub(replacement, text[0])


def setup(app):
    """Turn links when a page is read, and when a document that it includes is read."""
    app.connect("source-read", lambda app, page, text: _turn_links(text))
    app.connect("include-read", lambda app, path, page, text: _turn_links(text))
