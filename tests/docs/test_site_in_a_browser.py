"""The pages of the site fit on wide and on narrow screens, in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.packages import need, need_programs

BROWSER = "chromium-headless-shell"
MADE_BY_SPHINX = {"genindex.html", "py-modindex.html", "search.html"}

# A page that opens all others in a frame of one width, and says of each what sticks out of it.
# Code and tables may be scrolled by themselves; the page may not.
LOOK = """\
<pre id="found"></pre>
<script>
const found = {};
async function look() {
    for (const page of %s) {
        const frame = document.createElement("iframe");
        frame.style = "width: %spx; height: 900px";
        frame.src = page;
        await new Promise(ready => { frame.onload = ready; document.body.append(frame); });
        const inner = frame.contentDocument, width = inner.documentElement.clientWidth;
        const out = inner.documentElement.scrollWidth > width ? ["the page"] : [];
        for (const part of inner.querySelectorAll("article :is(h1, h2, h3, p, li, img, dt)"))
            if (!part.closest(".table-wrapper") && part.getBoundingClientRect().right > width + 1)
                out.push(part.tagName + ": " + part.textContent.trim().slice(0, 60));
        found[page] = inner.querySelector("article h1") ? out : ["there is no title"];
        frame.remove();
    }
    document.getElementById("found").textContent = "FOUND" + JSON.stringify(found) + "END";
}
look();
</script>
"""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("width_px", [1400, 390])
def test_no_page_is_wider_than_the_screen(site: Path, tmp_path: Path, width_px: int) -> None:
    need("in a browser", lambda: need_programs({BROWSER: BROWSER}))
    files = [path.relative_to(site) for path in site.rglob("*.html")]
    pages = sorted(str(path) for path in files if path.name not in MADE_BY_SPHINX)
    pages = [page for page in pages if not page.startswith("_")]
    assert len(pages) > 40
    found = look_at(site, pages, width_px, tmp_path)
    assert found.keys() == set(pages)
    assert {page: out for page, out in found.items() if out} == {}


def look_at(site: Path, pages: list[str], width_px: int, home: Path) -> dict[str, list[str]]:
    """Open pages in a browser; return what sticks out of each."""
    path = site / f"look{width_px}.html"
    path.write_text(LOOK % (json.dumps(pages), width_px), encoding="utf-8")
    options = [
        *("--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
        *(f"--user-data-dir={home}", "--virtual-time-budget=300000"),
    ]
    try:
        done = subprocess.run(
            [BROWSER, *options, "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
            env={**os.environ, "HOME": str(home)},
        )
    finally:
        path.unlink()
    told = re.search(r'<pre id="found">FOUND(.*?)END</pre>', done.stdout, re.DOTALL)
    assert told is not None, done.stderr
    result: dict[str, list[str]] = json.loads(html.unescape(told[1]))
    return result
