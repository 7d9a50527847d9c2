"""How Sphinx makes the site from this folder: ``sphinx-build -W docs site``."""

import re
from importlib.metadata import version as version_of

from docutils import nodes
from sphinx.domains.python import PyObject
from sphinx.util.osutil import relative_uri

project = "imp-parallel"
author = "the authors of imp-parallel"
version = release = version_of("imp-parallel-core")
html_title = f"imp-parallel {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
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


# Words by which people look for a page, and which the page itself does not use. The site's own
# search finds them.
_KEYWORDS = {
    "tutorial": "quickstart getting started introduction example beginner",
    "how-to/results": "output gather collect order imap starmap kwargs",
    "how-to/sweep": "pandas dataframe grid scan parameter product csv",
    "how-to/stop-early": "cancel kill abort timeout walltime early stopping interrupt",
    "how-to/keep-results": "checkpoint resume restart cache persist crash recover",
    "how-to/debug-a-task": "pdb debugger traceback segfault segmentation fault core dump rerun",
    "how-to/notebook": "jupyter ipython jupyterlab interactive colab",
    "how-to/watch-a-run": "monitor progress bar tqdm dashboard timeline profile log",
    "how-to/libraries": "sklearn gridsearchcv async await concurrent futures pool map",
    "how-to/threads": "mkl openblas omp openmp oversubscription numexpr numpy slow",
    "how-to/gpus": "cuda nvidia amd rocm accelerator device",
    "how-to/memory": "oom killer ram leak maxtasksperchild rss",
    "how-to/login-node": "ssh tunnel jump host bastion proxy remote laptop head",
    "how-to/allocations": "hpc supercomputer torque pbs lsf openmpi mpich mpirun srun salloc cray",
    "how-to/check-that-slaves-start": "test hang stuck pending nothing happens diagnose doctor",
    "plugins": "launcher extension backend custom hook entry point kubernetes docker container",
    "plugin-launchers": "start custom container docker kubernetes mpi backend srun qrsh",
    "plugin-functions": "kubernetes actor worker serverless sent archive",
    "plugin-transports": "network socket tls protocol custom resume reconnect",
    "plugin-commands": "subcommand cli argparse help message troubleshooting",
    "observers": "monitor events callback hook log prometheus",
    "batch-systems": "pbs torque lsf htcondor condor scheduler oar cobalt moab scheduler plugin",
    "alternatives": "comparison versus celery luigi airflow multiprocessing benchmark",
    "coming-from": "migrate migration porting replace equivalent worker",
    "performance": "benchmark speed overhead latency throughput slow",
    "promises": "guarantee exactly once retry fault tolerance semantics",
    "reference/options": "arguments settings configuration parameters default timeout",
    "reference/errors": "exception exceptions raise failure",
    "reference/commands": "cli command line terminal",
}


def _add_keywords(app, doctree) -> None:
    """Add the words to the page's head, from where the index of the search takes them."""
    if words := _KEYWORDS.get(app.env.docname):
        doctree.insert(0, nodes.meta(name="keywords", content=words))


def _link_pictures(app, doctree, page) -> None:
    """Let each picture be opened by itself, since a narrow screen shows it too small to be read."""
    if app.builder.format != "html":
        return
    for picture in list(doctree.findall(nodes.image)):
        if picture["uri"] in app.env.images and not isinstance(picture.parent, nodes.reference):
            path = f"{app.builder.imagedir}/{app.env.images[picture['uri']][1]}"
            target = relative_uri(app.builder.get_target_uri(page), path)
            link = nodes.reference("", "", picture.deepcopy(), refuri=target, internal=True)
            picture.replace_self(link)


def setup(app):
    """Turn links when a page is read, and when a document that it includes is read."""
    app.connect("doctree-read", _add_keywords)
    app.connect("doctree-resolved", _link_pictures)
    app.connect("source-read", lambda app, page, text: _turn_links(text))
    app.connect("autodoc-process-docstring", _keep_first_line, priority=1)  # before napoleon
    app.connect("autodoc-process-docstring", _restore_first_line, priority=999)
    app.connect("autodoc-process-signature", _shorten_signature)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-bases", _name_public_bases)
    app.connect("include-read", lambda app, path, page, text: _turn_links(text))
