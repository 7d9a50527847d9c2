"""imp-parallel check finds on Grid Engine what it finds on each batch system."""

import pytest

from tests.support.batch_suite.checks import *  # noqa: F403 - the tests that it lists

pytestmark = pytest.mark.timeout(180)
