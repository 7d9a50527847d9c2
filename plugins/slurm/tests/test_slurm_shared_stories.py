"""Slaves on Slurm do what those on each batch system do."""

import pytest

from tests.support.batch_suite.stories import *  # noqa: F403 - the tests that it lists

pytestmark = pytest.mark.timeout(180)
