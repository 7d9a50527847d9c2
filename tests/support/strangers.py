"""A stranger's distribution with a plugin, in a folder that ``PYTHONPATH`` names."""

from __future__ import annotations

from pathlib import Path


def install_stranger(place: Path, plugin: str, name: str = "odd") -> None:
    """Install a distribution of one plugin.

    Args:
        place: the folder, which must not be there.
        plugin: the text of its module, which is called after the distribution: odd_plugin.
        name: the distribution's name; its version is 0.1.
    """
    metadata = place / f"{name}-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(f"[imp_parallel]\n{name} = {name}_plugin\n")
    (place / f"{name}_plugin.py").write_text(plugin)
