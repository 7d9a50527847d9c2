"""Pickles a failed task. Its code says in which file it was written, so that pdb finds the source.

cloudpickle alone would put ``<dynamic-code>`` there.
"""

from __future__ import annotations

from io import BytesIO
from types import CodeType
from typing import Any

import cloudpickle

from .._code.functions import reduce_code_object


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no type hints
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is CodeType:
            return reduce_code_object(obj)
        return super().reducer_override(obj)


def pickle_with_places(thing: Any) -> bytes:
    """Return a pickle of anything. Raises whatever pickling raises."""
    file = BytesIO()
    _Pickler(file, 5).dump(thing)
    return file.getvalue()
