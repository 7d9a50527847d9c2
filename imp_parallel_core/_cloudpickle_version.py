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
        with open(spec.origin or "", encoding="utf-8") as file:
            versions = [
                line[len(_LINE) :].strip(" \n\"'") for line in file if line.startswith(_LINE)
            ]
    except OSError:
        versions = []
    if len(versions) == 1:
        return versions[0]
    import cloudpickle  # in an archive, or written in another way

    return str(cloudpickle.__version__)
