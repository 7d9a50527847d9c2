"""A joblib backend: what joblib runs, and so scikit-learn, runs on the slaves of a Manager.

Importing this package makes the name ``"imp_parallel"`` known to joblib. Read :mod:`._backend`
first, which is all that joblib calls, then :mod:`._calls` and :mod:`._teller`.
"""

from __future__ import annotations

from joblib.parallel import register_parallel_backend

from ._backend import ManagerBackend

__all__ = ["ManagerBackend"]

register_parallel_backend("imp_parallel", ManagerBackend)
