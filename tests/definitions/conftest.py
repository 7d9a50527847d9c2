from __future__ import annotations

import pytest

from imp_parallel_core._definitions.book import DefinitionBook

from .slave import Runner


@pytest.fixture
def book() -> DefinitionBook:
    return DefinitionBook()


@pytest.fixture
def runner(book: DefinitionBook) -> Runner:
    return Runner(book)
