"""``python -m imp_parallel_core``, which is the command ``imp-parallel``."""

from __future__ import annotations

import sys

from ._commands.main import main

if __name__ == "__main__":
    sys.exit(main())
