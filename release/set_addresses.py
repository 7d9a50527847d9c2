"""Write where the site and the sources are into all distributions, once before the first release.

    python release/set_addresses.py --site https://… --source https://…

They are in ``[project.urls]`` of each pyproject.toml, from where package indexes show them, and
``imp-parallel explain`` reads them; and in ``html_baseurl`` of docs/conf.py. Addresses that are
there already are replaced.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]

_TABLE = re.compile(r"^\[project\.urls\]\n(?:.+\n)*\n", re.MULTILINE)
_NEXT_TABLE = re.compile(r"^\[(?!build-system\]|project\])", re.MULTILINE)
_BASE = re.compile(r'^html_baseurl = ".*"\n', re.MULTILINE)
_TITLE = re.compile(r"^html_title = .*\n", re.MULTILINE)


def projects_of(root: Path) -> list[Path]:
    """Return the files that describe the distributions."""
    return [root / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))]


def addresses_of(site: str, source: str, issues: str = "") -> dict[str, str]:
    """Return the addresses of a distribution by their names.

    Args:
        site: where the site is, with or without a slash at its end.
        source: where the repository is.
        issues: where faults are reported; by default the page ``issues`` of the repository.
    """
    site, source = site.rstrip("/") + "/", source.rstrip("/")
    return {
        "Documentation": site,
        "Source": source,
        "Changelog": f"{site}changelog.html",
        "Issues": issues or f"{source}/issues",
    }


def with_addresses(text: str, addresses: Mapping[str, str]) -> str:
    """Return the text of a pyproject.toml with these addresses."""
    text = _TABLE.sub("", text)
    table = "".join(f'{name} = "{address}"\n' for name, address in addresses.items())
    return _NEXT_TABLE.sub(lambda match: f"[project.urls]\n{table}\n{match[0]}", text, count=1)


def with_base(text: str, site: str) -> str:
    """Return the text of docs/conf.py with the address of the site."""
    line = f'html_baseurl = "{site}"\n'
    return _TITLE.sub(lambda match: match[0] + line, _BASE.sub("", text), count=1)


def main(arguments: list[str] | None = None) -> None:
    """Write the addresses that are given; exit with a text if they are none."""
    parser = argparse.ArgumentParser(description="Write the project's addresses into all files.")
    parser.add_argument("--site", required=True, help="where the site is")
    parser.add_argument("--source", required=True, help="where the repository is")
    parser.add_argument("--issues", default="", help="where faults are reported")
    given = parser.parse_args(arguments)
    for address in filter(None, (given.site, given.source, given.issues)):
        if urlsplit(address).scheme != "https" or not re.fullmatch(r"[!-~]+", address):
            parser.error(f"{address!r} is no address that begins with https://")
        if '"' in address or "\\" in address:
            parser.error(f"{address!r} must have no quotation mark, and no backslash")
    addresses = addresses_of(given.site, given.source, given.issues)
    for path in projects_of(ROOT):
        text = path.read_text(encoding="utf-8")
        path.write_text(with_addresses(text, addresses), encoding="utf-8")
    conf = ROOT / "docs/conf.py"
    text = conf.read_text(encoding="utf-8")
    conf.write_text(with_base(text, addresses["Documentation"]), encoding="utf-8")


if __name__ == "__main__":
    main()
