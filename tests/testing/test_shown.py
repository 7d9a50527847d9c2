"""The kit knows a secret in each form, and a file that others may read from one that is private."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imp_parallel_core.testing._shown import files_for_others, forms_of

SECRET = bytes(range(240, 256)) * 2  # base64 of these bytes holds "+" and "/"
Encode = Callable[[bytes], bytes]


def plain(data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("outer", [plain, base64.b64encode, base64.urlsafe_b64encode, bytes.hex])
@pytest.mark.parametrize("inner", [plain, base64.b64encode, binascii.hexlify])
def test_a_secret_is_known_wherever_it_is_in_a_text_that_is_encoded(
    before: int, outer: Callable[[bytes], bytes | str], inner: Encode
) -> None:
    shown = outer(b"x" * before + inner(SECRET) + b", and what follows")
    data = shown.encode() if isinstance(shown, str) else shown
    assert any(form in data for form in forms_of(SECRET))
    assert not any(form in data for form in forms_of(SECRET[::-1]))


def test_private_files_and_folders_and_old_files_are_passed_over(tmp_path: Path) -> None:
    for name, mode in (("open", 0o755), ("closed", 0o700)):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(mode)
        for file, file_mode in (("shown", 0o644), ("private", 0o600)):
            (folder / file).touch()
            (folder / file).chmod(file_mode)
    now = time.time()
    assert list(files_for_others(tmp_path, now)) == [tmp_path / "open" / "shown"]
    assert list(files_for_others(tmp_path, now + 3600.0)) == []
