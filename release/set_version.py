"""Write one version into all distributions: ``python release/set_version.py 0.2.0``.

The version is in the core's ``_version.py``, in each pyproject.toml, and in what the distributions
require of each other: the same minor version.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def files_of(root: Path) -> list[Path]:
    """Return the files that hold the version."""
    return [
        root / "imp_parallel_core/_version.py",
        root / "pyproject.toml",
        *sorted(root.glob("plugins/*/pyproject.toml")),
    ]


def with_version(text: str, version: str) -> str:
    """Return the text of one of these files with another version in it."""
    minor = ".".join(version.split(".")[:2])
    text = re.sub(r'^(version|__version__) = ".*"$', rf'\1 = "{version}"', text, flags=re.MULTILINE)
    return re.sub(r"(imp-parallel-\w+)==[\d.]+\.\*", rf"\1=={minor}.*", text)


def main(arguments: list[str]) -> None:
    """Write the version that is given; exit with a text if it is none."""
    (version,) = arguments or [""]
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        sys.exit("usage: python release/set_version.py VERSION, such as 0.2.0 or 0.2.0rc1")
    for path in files_of(ROOT):
        path.write_text(with_version(path.read_text(encoding="utf-8"), version), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
