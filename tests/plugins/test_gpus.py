"""Graphics cards are found by what stands in for the tools of their makers: no card is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from imp_parallel_core import GPU, LaunchError, find_gpus

OF_NVIDIA = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5a1b2c3d-0000-1111-2222-333344445555)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-6a1b2c3d-0000-1111-2222-333344445555)
  MIG 3g.20gb     Device  0: (UUID: MIG-7a1b2c3d-0000-1111-2222-333344445555)
  MIG 3g.20gb     Device  1: (UUID: MIG-GPU-6a1b2c3d-0000-1111-2222-333344445555/2/0)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-8a1b2c3d-0000-1111-2222-333344445555)
"""
OF_ROCM = """\

============================ ROCm System Management Interface ============================
=========================================== ID ===========================================
GPU[0]\t\t: Device Name: \t\tAMD Instinct MI210
GPU[0]\t\t: GPU ID: \t\t0x740f
GPU[1]\t\t: Device Name: \t\tAMD Instinct MI210
GPU[1]\t\t: GPU ID: \t\t0x740f
==========================================================================================
================================== End of ROCm SMI Log ===================================
"""


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder of the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def stand_in(tools: Path, name: str, output: str, exit_code: int = 0) -> None:
    tool = tools / name
    (tools / f"{name}.output").write_text(output)
    tool.write_text(f"#!/bin/sh\n/bin/cat '{tools}/{name}.output'\nexit {exit_code}\n")
    tool.chmod(0o755)


def test_cards_are_found_by_a_stand_in_for_nvidia_smi_and_those_that_are_divided_in_parts(
    tools: Path,
) -> None:
    stand_in(tools, "nvidia-smi", OF_NVIDIA)
    stand_in(tools, "rocm-smi", OF_ROCM)
    assert find_gpus() == [
        GPU("CUDA_VISIBLE_DEVICES", name)
        for name in (
            "GPU-5a1b2c3d-0000-1111-2222-333344445555",
            "MIG-7a1b2c3d-0000-1111-2222-333344445555",
            "MIG-GPU-6a1b2c3d-0000-1111-2222-333344445555/2/0",
            "GPU-8a1b2c3d-0000-1111-2222-333344445555",
        )
    ]


def test_cards_are_found_by_a_stand_in_for_rocm_smi(tools: Path) -> None:
    stand_in(tools, "nvidia-smi", "")  # of a machine that had such cards once
    stand_in(tools, "rocm-smi", OF_ROCM)
    assert find_gpus() == [GPU("ROCR_VISIBLE_DEVICES", "0"), GPU("ROCR_VISIBLE_DEVICES", "1")]


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"])
def test_cards_that_a_batch_system_or_the_user_has_chosen_are_all_there_are(
    tools: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    stand_in(tools, "nvidia-smi", OF_NVIDIA)
    monkeypatch.setenv(variable, "3, GPU-8a")
    assert find_gpus() == [GPU(variable, "3"), GPU(variable, "GPU-8a")]
    monkeypatch.setenv(variable, "")
    with pytest.raises(LaunchError, match=f"{variable} is empty"):
        find_gpus()


def test_a_machine_without_cards_is_told_with_what_was_looked_for() -> None:
    with pytest.raises(LaunchError, match="neither nvidia-smi nor rocm-smi"):
        find_gpus()


def test_a_stand_in_for_nvidia_smi_that_fails_is_quoted(tools: Path) -> None:
    stand_in(tools, "nvidia-smi", "couldn't communicate with the driver\n", exit_code=9)
    with pytest.raises(LaunchError, match="code 9: couldn't communicate") as caught:
        find_gpus()
    assert caught.value.exit_code == 9
    assert caught.value.command == (str(tools / "nvidia-smi"), "-L")
    (tools / "nvidia-smi").write_text("#!/no/such/interpreter\n")
    with pytest.raises(LaunchError, match="can't ask for graphics cards"):
        find_gpus()
