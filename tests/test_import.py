"""What `import refmeta` promises."""

import subprocess
import sys

import refmeta


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_neither_scipy_nor_the_oracle_is_loaded():
    code = "import refmeta, sys; print([m for m in sys.modules if m.split('.')[0] == 'scipy' or 'oracle' in m])"
    assert run(code + "; print(callable(refmeta.oracle.check), sorted(dir(refmeta)) == sorted(refmeta.__all__))") == (
        "[]\nTrue True"
    )


def test_every_public_name_exists_and_says_what_it_is():
    for name in refmeta.__all__:
        assert getattr(refmeta, name).__doc__, name


def test_public_functions_of_the_algorithms_name_their_formula():
    for module in (refmeta.maml, refmeta.reptile, refmeta.judges):
        for name, thing in vars(module).items():
            if (
                callable(thing)
                and getattr(thing, "__module__", "") == module.__name__
                and name[0].islower()
                and name[0] != "_"
            ):
                if name not in ("adapt_adam", "adapt_adam_carried"):
                    assert "Eq: " in thing.__doc__, f"{module.__name__}.{name}"


def test_the_source_archive_names_what_its_tests_read_and_the_wheel_the_chapters():
    import configparser
    from pathlib import Path

    root = Path(__file__).parents[1]
    manifest, config = (root / "MANIFEST.in").read_text("utf-8"), configparser.ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    for name in ("derivations", "tests", "CHANGELOG.md", "Makefile"):
        assert (root / name).exists() and name in manifest.split()
    assert config["options.data_files"]["share/refmeta/derivations"].strip() == "derivations/*.md"
    assert config["metadata"]["author"] == "refmeta developers"
