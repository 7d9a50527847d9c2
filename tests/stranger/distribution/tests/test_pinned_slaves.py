"""The launcher does what imp-parallel-core expects of one."""

import pytest
from pinned_slaves import PinnedSlave

from imp_parallel_core.testing import launcher_checks


@pytest.mark.parametrize("check", launcher_checks())
def test_pinned_slaves(check, tmp_path):
    check(lambda: PinnedSlave("0"), output_folder=tmp_path)
