"""The version of cloudpickle, without its import, which takes longer than the start of a runner."""

from __future__ import annotations

import sys

_LINE = "__version__ ="


def version_of_cloudpickle() -> str:
    """Return the version of the cloudpickle that would be imported; "none" if there is none."""
    for finder in sys.meta_path:
        spec = finder.find_spec("cloudpickle", None)
        if spec is not None:
            break
    else:
        return "none"
    try:
        path = (spec.origin or "").removesuffix("c")  # of a .pyc file beside its source
        source: bytes = spec.loader.get_data(path)  # type: ignore[union-attr]  # loaders of files have it
        lines = source.decode().splitlines()
        versions = [line[len(_LINE) :].strip(" \"'") for line in lines if line.startswith(_LINE)]
    except (AttributeError, OSError, ValueError):
        versions = []
    if len(versions) == 1:
        return versions[0]
    import cloudpickle  # it is no file, or the line has another form

    return str(cloudpickle.__version__)
