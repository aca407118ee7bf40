"""`make bench`: every subject runs once at its smallest sizes; two documents are compared."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "tests" / "benchmarks"
ENVIRONMENT = {
    **os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "BENCH_PEERS": "0", "PYTHONIOENCODING": "utf-8", "COLUMNS": "80",
}  # fmt: skip
HEADS = {
    "discounted": "S, N, K ms factor. work LU/solve/P/rest",
    "finite_horizon": "S, N, K ms work LU/solve/P/rest",
    "features": "S, N, K ms factor. work LU/solve/P/rest",
    "linear_quadratic": "S, N, K ms work LU/solve/P/rest",
    "softmax_regression": "S, N, K ms work LU/solve/P/rest",
    "dice": "S, N, K ms",
    "growth": "of, S, N, K ms 2S 4S 4N 4K MB MB 4K",
    "optimisers": "rule ms, K = 16 of K = 4 of K = 8 of descent",
    "cold": "library import first call next call",
    "rollouts": "N, M, H ms steps/µs loop",
    "gae": "rows, steps ms loop lfilter MB",
    "enumeration": "H, M tuples ms µs each 1 process MB digest",
    "meta-lstm": "K, d, N exact independent MAML of MAML",
    "pearl": "tasks, transitions, S ms",
    "verify": "labels mean median longest label all",
    "certificates": "suite timed mean longest vectors all",
    "diagnosis": "suite: mistake seconds vectors",
}


def ran(*arguments):
    """The standard output of Python."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=300, check=True).stdout


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """The tables of all subjects, and the document."""
    file = tmp_path_factory.mktemp("bench") / "all.json"
    text = ran(BENCHMARKS, "--smallest", "--seconds", "0", "--json", file)
    return text, json.loads(file.read_text("utf-8"))


def test_every_subject_is_one_table_in_80_columns(every):
    text, document = every
    assert list(document["subjects"]) == list(HEADS)
    tables = re.split(r"\n\n(?=[^\n]+\n\()", text.strip())
    assert len(tables) == len(HEADS)
    for (name, heads), table in zip(HEADS.items(), tables, strict=True):
        subject, lines = document["subjects"][name], table.splitlines()
        assert " ".join(lines[0:2]).startswith(subject["title"][:60]) and max(map(len, lines)) <= 80
        dashes = next(i for i, line in enumerate(lines) if re.fullmatch(r"[- ]+", line))
        assert " ".join(lines[dashes - 1].split()) == heads
        assert len(lines[dashes + 1]) == len(lines[dashes]) and lines[dashes + 1].startswith(subject["rows"][0]["size"])


def test_every_number_that_commits_are_compared_by_is_there(every):
    for name, subject in every[1]["subjects"].items():
        for row in subject["rows"]:
            assert subject["own"] and all(row[key] >= 0 for key in subject["own"]), name
            if "turns" in row:
                low, high = row["refmeta quartiles"]
                assert low <= row["refmeta"] <= high and row["refmeta/refmeta"] == 1 and row["turns"] >= 3


def test_a_ratio_is_the_time_of_refmeta_over_the_other_turn_by_turn():
    measure = runpy.run_path(str(BENCHMARKS / "measure.py"))
    turns = {"refmeta": iter([9.0, 3.0, 4.0, 6.0]), "work": iter([9.0, 2.0, 1.0, 3.0])}  # the first call of each is not timed
    measure["timed"].__globals__["elapsed"] = lambda f, clock: f()
    row = measure["timed"]({name: lambda times=times: next(times) for name, times in turns.items()} | {"JAX": None}, -1.0)
    assert row["refmeta"] == 4000 and row["work"] == 2000 and row["refmeta/work"] == 2 and row["turns"] == 3 and "JAX" not in row
    assert row["refmeta quartiles"] == [3500, 5000]
    column = measure["Shown"]
    assert [measure["cell"](row, column(*c)) for c in (("work", "", "ratio"), ("work", ""), ("JAX", "", "ratio"))] == ["2.00x", "2000.00", "–"]


def test_the_floor_of_work_contains_its_parts(every):
    row = every[1]["subjects"]["discounted"]["rows"][0]
    assert all(row[part] > 0 and f"refmeta/{part}" in row for part in ("LU", "solves", "passes", "work", "factorisation"))
    assert sum(map(int, row["shares"].split("/"))) in range(98, 103)


def test_two_documents_are_compared_by_medians_of_pairs_with_their_spread(tmp_path):
    def write(name, *times):
        row = lambda t: {"size": "3, 2, 1", "refmeta": t, "refmeta quartiles": [0.9 * t, 1.25 * t]}
        for i, t in enumerate(times):
            subjects = {"dice": {"own": ["refmeta"], "rows": [row(t)]}}
            if name == "this":
                subjects["gae"] = {"own": ["refmeta"], "rows": [row(1.0)]}
            (tmp_path / f"{name}{i}.json").write_text(json.dumps({"machine": {"refmeta": name}, "subjects": subjects}), "utf-8")
        return [tmp_path / f"{name}{i}.json" for i in range(len(times))]

    base, this = write("base", 2.0, 2.0, 2.0), write("this", 1.0, 3.0, 1.5)
    three = ran(BENCHMARKS / "compare.py", "--base", *base, "--this", *this)
    assert re.search(r"^dice +3, 2, 1 +refmeta +0\.75x +0\.50–1\.50$", three, re.M), three
    assert "1 numbers are those of one side only" in three
    one = runpy.run_path(str(BENCHMARKS / "compare.py"))["report"](*([json.loads(side[0].read_text("utf-8"))] for side in (base, this)))
    assert re.search(r"^dice +3, 2, 1 +refmeta +0\.50x +0\.36–0\.69$", one, re.M), one


def test_a_row_that_does_not_end_or_fails_is_named_and_the_others_go_on(monkeypatch, capfd):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    main = runpy.run_path(str(BENCHMARKS / "__main__.py"), run_name="benchmarks")
    subject = main["SUBJECTS"]["gae"]
    row = main["apart"](subject, 0, 0.0, limit=0.01)
    assert row["size"] == "100, 1,000" and row["failed"] and row["error"] == "failed: not done within 0 seconds"
    assert "100, 1,000: failed: not done within 0 seconds" in main["printed"](subject, [row])
    assert capfd.readouterr().err.count("gae: 100, 1,000 did not end within 0 seconds and is tried once more") == 1
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, stdout='{"size": "x", "refmeta": 1.0}\n'))
    assert main["rows_of"](subject, False, 0.0) == [{"size": "x", "refmeta": 1.0}] * 2
    assert capfd.readouterr().err.startswith("gae: row 1 of 2, 100, 1,000; 0 s so far\ngae: row 2 of 2, 1,000, 1,000")
