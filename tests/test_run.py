"""`run`: streams that cannot be written, signals, and failures of refmeta itself."""

import os
import signal
import subprocess
import sys

import pytest

from refmeta import __main__ as command

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full and Unix signals")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ends(monkeypatch, main):
    monkeypatch.setattr(command, "main", main)
    return command.run()


def says(text, flush=False):
    def main():
        print(text, flush=flush)
        return 0

    return main


@pytest.mark.parametrize("flush", [False, True])
def test_an_output_that_is_full_is_usage_and_a_sentence(flush, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert ends(monkeypatch, says("RIGHT", flush)) == 2
    assert capsys.readouterr().err.startswith("python -m refmeta: error: cannot write to the standard output: [Errno 28]")


def test_an_output_that_is_closed_is_usage_and_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert ends(monkeypatch, says("RIGHT")) == 2
    assert capsys.readouterr().err == "python -m refmeta: error: cannot write to the standard output: it is closed\n"
    monkeypatch.setattr(sys, "stderr", None)
    assert ends(monkeypatch, says("RIGHT")) == 2


def test_a_reader_that_has_gone_is_status_141(monkeypatch, capsys):
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert ends(monkeypatch, says("RIGHT")) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyError("suite"), FileNotFoundError(2, "No such file", "reptile.json"), RecursionError()])
def test_a_failure_of_refmeta_itself_is_status_six_and_never_a_mismatch(error, monkeypatch, capsys):
    def main():
        raise error

    assert ends(monkeypatch, main) == 6
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == f"refmeta itself failed: {type(error).__name__}: {error}; please report it"
    assert second == "Traceback (most recent call last):"


def test_an_interrupt_is_status_130(monkeypatch, capsys):
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def main():
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            os.kill(os.getpid(), signal.SIGINT)

    assert ends(monkeypatch, main) == 130 and capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_it_with_a_status_of_its_own_unless_it_is_ignored(number, monkeypatch):
    def main():
        os.kill(os.getpid(), number)
        return 0

    signal.signal(number, signal.SIG_IGN)
    assert ends(monkeypatch, main) == 0
    signal.signal(number, signal.SIG_DFL)
    with pytest.raises(SystemExit) as end:
        ends(monkeypatch, main)
    assert end.value.code == 128 + number


ENDED = """
import os, signal
import refmeta as rm

def end(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)

def estimate(theta, states):
    end()

def with_query(theta, query):
    end()

def maker():
    end()

def some(name):
    return rm.oracle.Problem([1.0], [end if name == "loss" else sum], None, 0.1, 1, end if name == "gradient" else sum)

loss, gradient = some("loss"), some("gradient")
"""


@pytest.mark.parametrize(
    "words",
    [
        ("bias", "ended:estimate", "--episodes", "1"), ("bias", "ended:with_query", "--episodes", "1", "--steps", "1"),
        ("check", "ended:loss"), ("check", "ended:gradient"), ("check", "ended:maker"),
        ("bias", "ended_at_once:f"), ("check", "ended_at_once:f"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_signal_while_a_function_of_the_user_runs_is_not_blamed_on_it(words, tmp_path, monkeypatch, capsys):
    (tmp_path / "ended.py").write_text(ENDED)
    (tmp_path / "ended_at_once.py").write_text("import os; os.kill(os.getpid(), 15)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ended", raising=False)
    monkeypatch.setattr(sys, "argv", ["refmeta", *words])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with pytest.raises(SystemExit) as end:
        command.run()
    assert end.value.code == 128 + signal.SIGTERM and capsys.readouterr().err == "ended by SIGTERM\n"


@pytest.mark.parametrize(("ignored", "status"), [(False, -signal.SIGINT), (True, 1)])
def test_an_interrupt_while_numpy_is_loaded_ends_the_command_quietly(ignored, status, tmp_path):
    """A NumPy that interrupts its own import, and says that this is an ImportError."""
    numpy = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
finally:
    raise ImportError
"""
    (tmp_path / "numpy.py").write_text(numpy)
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.{"SIG_IGN" if ignored else "default_int_handler"})
sys.argv[0], sys.orig_argv = "-m", ["python", "-m", "refmeta"]
import refmeta
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == status and ("ImportError" in done.stderr) == ignored
