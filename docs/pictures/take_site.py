"""Take the picture of the site's first page, on a wide and on a narrow screen.

Run it with ``python docs/pictures/take_site.py``. It makes the site in a temporary folder, and
needs the packages of requirements-dev.txt, and Debian's chromium-headless-shell and imagemagick.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
BROWSER, JOIN = "chromium-headless-shell", "convert"
WIDE, NARROW, HEIGHT = 1400, 390, 1250


def main() -> None:
    """Make the site, take both pictures, and put them side by side."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "sphinx", "-q", DOCS, folder / "site"], check=True)
        for width in (WIDE, NARROW):
            take(folder, width)
        pictures = [str(folder / f"{width}.png") for width in (WIDE, NARROW)]
        shrunk = ["-resize", "60%", "-dither", "None", "-colors", "128", "-strip"]
        together = ["-bordercolor", "#cccccc", "-border", "1", "+append", *shrunk]
        command = [JOIN, *pictures, *together, str(DOCS / "pictures/site.png")]
        subprocess.run(command, check=True)


def take(folder: Path, width: int) -> None:
    """Take a picture of the first page in a window of this width, in pixels."""
    options = [
        "--no-sandbox",
        "--hide-scrollbars",
        "--disable-gpu",
        f"--user-data-dir={folder}/home",
    ]
    size, output = f"--window-size={width},{HEIGHT}", f"--screenshot={folder}/{width}.png"
    page = (folder / "site/index.html").as_uri()
    subprocess.run([BROWSER, *options, size, output, page], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
