"""What `import refmeta` promises, and what is installed."""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import refmeta


def test_import_loads_neither_scipy_nor_the_oracle_and_no_command_loads_scipy():
    code = "import refmeta, sys; print([m for m in sys.modules if m.split('.')[0] == 'scipy' or 'oracle' in m])"
    code += "; print(callable(refmeta.oracle.check), sorted(dir(refmeta)) == sorted(refmeta.__all__))"
    code += "; from refmeta.__main__ import _parsers; print(len(_parsers()[1]) > 5, [m for m in sys.modules if m.split('.')[0] == 'scipy'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue True\nTrue []\n"


def test_public_functions_of_the_algorithms_name_their_formula():
    """Those with Adam or another rule are loops of the labelled step."""
    for module in (refmeta.maml, refmeta.reptile, refmeta.judges):
        for name, thing in vars(module).items():
            own = callable(thing) and getattr(thing, "__module__", "") == module.__name__ and name[0].islower()
            assert not own or name in ("adapt_adam", "adapt_adam_carried", "adapt_carried") or "Eq: " in thing.__doc__, name


def test_the_source_archive_names_what_its_tests_read_and_the_wheel_the_chapters():
    root, config = Path(__file__).parents[1], ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    for name in ("derivations", "tests", "CHANGELOG.md", "Makefile"):
        assert (root / name).exists() and name in (root / "MANIFEST.in").read_text("utf-8").split()
    assert config["options.data_files"]["share/refmeta/derivations"].strip() == "derivations/*.md"
    assert config["metadata"]["author"] == "refmeta developers"
