"""How Sphinx makes the site from this folder: ``sphinx-build -W docs site``."""

import re
from importlib.metadata import version as version_of

from sphinx.domains.python import PyObject

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
autodoc_default_options = {"members": True}
add_module_names = False  # each page says from where its names are imported
nitpicky = False  # types of other packages have no pages here
copybutton_exclude = ".linenos, .gp"
napoleon_use_ivar = True  # attributes of named tuples are described once
autodoc_preserve_defaults = True
for _field in PyObject.doc_field_types:
    if _field.name == "variable":
        _field.label = "Attributes"


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


_COLON = "\ue000"  # stands for a colon while napoleon reads


def _keep_first_line(app, what, name, thing, options, lines) -> None:
    """Keep napoleon from taking words before a colon in an attribute's first line for a type."""
    if what in ("attribute", "property") and lines:
        lines[0] = lines[0].replace(": ", f"{_COLON} ")


def _restore_first_line(app, what, name, thing, options, lines) -> None:
    """Put the colons back, after napoleon."""
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _shorten_signature(app, what, name, thing, options, signature, returns):
    """Leave out the arguments of what no user makes: protocols and most errors."""
    made_by_users = what != "exception" or name.endswith((".Error", ".LaunchError"))
    if signature is None:
        return None
    if signature == "(*args, **kwargs)" or not made_by_users:
        return "", returns
    return None


def _skip(app, what, name, thing, would_skip, options) -> bool | None:
    """Leave out the fields of named tuples, which the class's docstring describes."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def _name_public_bases(app, name, thing, options, bases) -> None:
    """Name the bases of a private class in its place."""
    bases[:] = [
        public
        for base in bases
        for public in (base.__bases__ if base.__name__ == "TaskError" else (base,))
    ]


def setup(app):
    """Turn links when a page is read, and when a document that it includes is read."""
    app.connect("source-read", lambda app, page, text: _turn_links(text))
    app.connect("autodoc-process-docstring", _keep_first_line, priority=1)  # before napoleon
    app.connect("autodoc-process-docstring", _restore_first_line, priority=999)
    app.connect("autodoc-process-signature", _shorten_signature)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-bases", _name_public_bases)
    app.connect("include-read", lambda app, path, page, text: _turn_links(text))
