"""Where Slurm hangs, or lists no job, that is said as with each batch system."""

import pytest

from tests.support.batch_suite.forgetting import *  # noqa: F403 - the tests that it lists
from tests.support.batch_suite.silence import *  # noqa: F403 - the tests that it lists

pytestmark = pytest.mark.timeout(180)
