"""What goes wrong on Grid Engine is said as on each batch system."""

import pytest

from tests.support.batch_suite.troubles import *  # noqa: F403 - the tests that it lists

pytestmark = pytest.mark.timeout(180)
