"""Whatever becomes of jobs on Slurm, nothing is lost, left or shown."""

import pytest

from tests.support.batch_suite.deaths import *  # noqa: F403 - the tests that it lists
from tests.support.batch_suite.privacy import *  # noqa: F403 - the tests that it lists

pytestmark = pytest.mark.timeout(180)
