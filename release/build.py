"""Build all distributions of a commit, as they are uploaded to a package index.

    python release/build.py v0.2.0

The commit's files are taken, whatever the working tree holds, and its time, so whoever builds the
same commit gets the same bytes. In what is built, the READMEs' links between files lead to the site
and to the repository, at the tag of the version: a package index shows a README alone, where
``docs/tutorial.md`` would lead nowhere. As long as the project has no addresses
(``release/set_addresses.py``), the words of such a link remain, without a link.

Needs git, and what builds: ``pip install hatchling``.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]

# What is code is left as it is. The words of a link may hold brackets, and code.
_CODE_OR_LINK = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]+`)"
    r"|(?P<is_image>!?)\[(?P<words>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)


def for_index(text: str, folder: str, version: str, addresses: Mapping[str, str]) -> str:
    """Return the text of a README without relative links.

    Args:
        text: that in the repository.
        folder: where it is there, such as ``plugins/local``; "" for the top.
        version: of the distribution; its tag is ``vVERSION``.
        addresses: the distribution's, by their names; none if there are none yet.
    """

    def absolute(match: re.Match[str]) -> str:
        if match["code"] or urlsplit(match["target"]).scheme or match["target"].startswith("#"):
            return match[0]
        if not addresses:
            return "" if match["is_image"] else match["words"]
        path, hash, heading = match["target"].partition("#")
        path = posixpath.normpath(posixpath.join(folder, path))
        address = _address(path, bool(match["is_image"]), version, addresses) + hash + heading
        return f"{match['is_image']}[{match['words']}]({address})"

    return _CODE_OR_LINK.sub(absolute, text)


def _address(path: str, is_image: bool, version: str, addresses: Mapping[str, str]) -> str:
    """Return where a file of the repository is shown; for an image, where its bytes are."""
    page = re.fullmatch(r"docs/(.+)\.md", path)
    if page is not None:
        return f"{addresses['Documentation']}{page[1]}.html"
    return f"{addresses['Source']}/{'raw' if is_image else 'blob'}/v{version}/{path}"


def prepare(root: Path) -> list[Path]:
    """Rewrite the READMEs of a tree; return the folders of its distributions."""
    folders = [root, *sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))]
    for folder in folders:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        readme = folder / project["readme"]
        place = "" if folder == root else folder.relative_to(root).as_posix()
        text = readme.read_text(encoding="utf-8")
        text = for_index(text, place, project["version"], project.get("urls", {}))
        readme.write_text(text, encoding="utf-8")
    return folders


def build(commit: str, into: Path, root: Path = ROOT) -> None:
    """Build the source distributions and the wheels of a commit.

    Args:
        commit: its name, such as a tag.
        into: the folder that takes them.
        root: the repository.
    """
    command = ["git", "show", "--no-patch", "--format=%ct", f"{commit}^{{commit}}"]
    made_at = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": made_at.stdout.strip()}
    archive = ["git", "archive", "--format=tar", commit]
    files = subprocess.run(archive, cwd=root, check=True, stdout=subprocess.PIPE).stdout
    with tempfile.TemporaryDirectory(prefix="imp-parallel-build-") as name:
        subprocess.run(["tar", "-x", "-C", name], input=files, check=True)
        for folder in prepare(Path(name)):
            builds = [sys.executable, "-m", "hatchling", "build", "-d", str(into)]
            subprocess.run(builds, cwd=folder, check=True, env=environment)


def main() -> None:
    """Build what is asked for."""
    parser = argparse.ArgumentParser(description="Build all distributions of a commit.")
    parser.add_argument("commit", help="such as the tag of a version")
    parser.add_argument("--outdir", default=ROOT / "dist", type=Path, help="default: dist")
    given = parser.parse_args()
    build(given.commit, given.outdir.resolve())


if __name__ == "__main__":
    main()
