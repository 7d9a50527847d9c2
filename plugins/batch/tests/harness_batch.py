"""Where the example is that the tests of the kit use."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/queue_launcher.py"
