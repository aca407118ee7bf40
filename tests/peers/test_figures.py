"""The figures are drawn again with matplotlib: two runs give the same bytes, whatever the hash seed and the folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
FOLDER = Path(__file__).parents[2] / "derivations" / "figures"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "style.py")


def drawn(script, folder, seed):
    """The bytes that a copy of a script writes beside itself."""
    folder.mkdir()
    for name in (script, "style.py"):
        shutil.copy(FOLDER / name, folder)
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, folder / script], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    written = folder / (script.removesuffix(".py").replace("_", "-") + ".svg")
    assert done.stdout == f"{written}\n" and not done.stderr
    return written.read_bytes()


@pytest.mark.parametrize("script", SCRIPTS)
def test_two_drawings_have_the_same_bytes(script, tmp_path):
    first, second = (drawn(script, tmp_path / folder, seed) for folder, seed in (("first", "1"), ("second", "2")))
    assert first == second and first.startswith(b"<?xml")
