"""Which cloudpickle is installed, without importing it: that takes longer than a runner's start."""

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
        path = (spec.origin or "").removesuffix("c")  # where code lies beside its source
        source: bytes = spec.loader.get_data(path)  # type: ignore[union-attr]  # of files
        lines = source.decode().splitlines()
        versions = [line[len(_LINE) :].strip(" \"'") for line in lines if line.startswith(_LINE)]
    except (AttributeError, OSError, ValueError):
        versions = []
    if len(versions) == 1:
        return versions[0]
    import cloudpickle  # loaded or written in another way

    return str(cloudpickle.__version__)
