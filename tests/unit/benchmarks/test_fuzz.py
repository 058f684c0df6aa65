"""Malformed inputs: the same number gives the same case, what fails is seen, and a handful of each quick kind does not fail."""

from __future__ import annotations

import json
import mmap
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.measurements.fuzz import cases, mutations
from benchmarks.measurements.fuzz.cases import (
    KINDS,
    Failure,
    Kind,
    Tally,
    case_bytes,
    imported_modules,
    read_tally,
    run_cases,
    run_next,
)
from benchmarks.pages import reliability
from benchmarks.pages.reliability import failure_lines, row, run_killed_again
from grmu_audit.errors import InputError
from grmu_audit.utils.resources import policy_file

BY_NAME = {kind.name: kind for kind in KINDS}
LIST = b"id,subject\n" + b"\n".join(f"a{i},p{i % 3}".encode() for i in range(9)) + b"\n"
TABLE = b"id,split,target,attribute,logit_0,logit_1\n" + b"\n".join(
    f"a{i},{('retain', 'forget', 'val', 'test')[i % 4]},{i % 2},0,0.1,{i}.5".encode() for i in range(12)
)
SPEC = {
    "architecture": "small_resnet", "classes": 2, "class_names": ["a", "b"], "image_size": [3, 8, 8],
    "mean": [0.5] * 3, "std": [0.5] * 3, "options": {"widths": [4, 8]},
}  # fmt: skip
SEEDS = {
    "forget_list": LIST,
    "predictions": TABLE,
    "policy": policy_file("default").read_bytes(),
    "model.json": json.dumps(SPEC).encode(),
}


@pytest.mark.parametrize("name", SEEDS)
def test_some_malformed_files_of_every_quick_kind_are_read_or_refused(name: str, tmp_path: Path) -> None:
    found = run_cases(BY_NAME[name], [SEEDS[name]], range(60), tmp_path)
    assert (found.cases, found.failures) == (60, [])
    assert sum(found.outcomes.values()) == 60
    assert len(found.outcomes) > 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SEEDS)
def test_a_case_is_known_by_its_number(name: str) -> None:
    made = [case_bytes(BY_NAME[name], [SEEDS[name]], number) for number in (0, 1, 2, 3, 4, 5, 6, 7, 0)]
    assert made[0] == made[-1]
    assert len(set(made)) > 4


def test_edits_of_a_tree_leave_the_tree_itself_alone() -> None:
    before = json.dumps(SPEC)
    for seed in range(200):
        mutations.of_tree(SPEC, random.Random(seed))
    assert json.dumps(SPEC) == before


def _refusing(path: Path) -> None:
    raise InputError("no")


def _failing(path: Path) -> None:
    {}["x"]


def _growing(path: Path) -> None:
    with mmap.mmap(-1, 64 << 20) as fresh:  # memory that was freed before would be used again without any growth
        for page in range(0, 64 << 20, mmap.PAGESIZE):
            fresh[page] = 1


def _endless(path: Path) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "outcome", "failure"),
    [
        (_refusing, "InputError", ""),
        (_failing, "failed: KeyError in the benchmark itself", "KeyError in the benchmark itself"),
        (_growing, "read", "MiB"),
        (_endless, "failed: time", "time"),
    ],
)
def test_what_no_case_may_do_is_seen(read, outcome: str, failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(cases, "MOST_BYTES", 32 << 20)
    found = run_cases(Kind("forget_list", mutations.of_list, read, (), 1), [LIST], [0], tmp_path)
    assert found.outcomes == {outcome: 1}
    assert bool(found.failures) == bool(failure)
    assert all(failure in one.what or "s, " in one.what for one in found.failures)


def test_the_page_counts_cases_and_names_each_failure_once() -> None:
    tally = Tally(
        3, {"read": 1, "InputError": 1, "failed: KeyError in a.py:b": 1}, [Failure(2, "KeyError in a.py:b")], 0.5, 1 << 20, 1.0
    )
    assert row(BY_NAME["policy"], tally + tally) == "| policy | 6 | 100,000 | 2 | 2 | 2 | 0.5 | 1 |"
    assert failure_lines({"policy": tally + tally}) == ["- policy: KeyError in a.py:b (2 cases, the first is 2)"]


def _dying(path: Path) -> None:
    if path.read_bytes() != LIST:
        os._exit(7)


def test_a_run_goes_on_where_it_stopped_and_counts_an_interpreter_that_ended(tmp_path: Path) -> None:
    (tmp_path / "seeds" / "forget_list").mkdir(parents=True)
    (tmp_path / "seeds" / "forget_list" / "ids.csv").write_bytes(LIST)
    (tmp_path / "work").mkdir()
    kind, results = BY_NAME["forget_list"], tmp_path / "results"
    parts = [run_next(tmp_path, results, kind, 20) for _ in range(2)]
    assert [part.cases for part in parts] == [20, 20]
    whole = run_cases(kind, [LIST], range(40), tmp_path / "work")
    found = read_tally(results, kind)
    assert (found.cases, found.outcomes) == (40, whole.outcomes)
    dying = replace(kind, read=_dying)
    crashed = run_next(tmp_path, results, dying, 5)
    assert (crashed.outcomes, crashed.failures[0].what) == ({"crash": 5}, "crash: the interpreter ended with 7")
    assert read_tally(results, kind).cases == 45
    (results / "forget_list.json").write_text(json.dumps({"code": "of before"}))
    assert read_tally(results, kind).cases == 0


def test_cases_of_a_killed_process_run_alone_and_those_that_cannot_be_made_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seeds" / "forget_list").mkdir(parents=True)
    (tmp_path / "seeds" / "forget_list" / "ids.csv").write_bytes(LIST)
    (tmp_path / "work").mkdir()
    results = tmp_path / "results"
    kind = replace(BY_NAME["forget_list"], chunk=3, wanted=6)
    run_next(tmp_path, results, kind, 3)
    run_next(tmp_path, results, replace(kind, read=_dying), 3)

    def made(kind: Kind, seeds: list[bytes], number: int) -> bytes:
        if number in (4, 6):
            raise MemoryError
        return b""

    monkeypatch.setattr(reliability, "case_bytes", made)
    run_killed_again(tmp_path, kind, results)
    found = read_tally(results, kind)
    assert (found.cases, found.failures) == (6, [])
    wanted = run_cases(kind, [LIST], [0, 1, 2, 3, 5, 7], tmp_path / "work")
    assert found.outcomes == wanted.outcomes
    run_next(tmp_path, results, replace(kind, read=_dying), 3)
    run_killed_again(tmp_path, replace(kind, read=_dying), results)
    (first, *_) = read_tally(results, kind).failures
    assert (first.case, first.what) == (7, "crash: the interpreter ended with 7")


def test_the_code_of_a_kind_is_what_reads_it() -> None:
    root = Path(cases.__file__).parents[3] / "grmu_audit"
    found = {kind.name: {str(path.relative_to(root)) for path in imported_modules(kind.modules)} for kind in KINDS}
    assert {"data/forget/forget_list.py", "utils/parquet.py", "utils/clock.py", "errors.py"} <= found["forget_list"]
    assert {"auditing/recomputation.py", "report/formats/html.py", "policy/rule_reasons.py"} <= found["bundle"]
    assert all(name.startswith(("errors", "utils", "policy", "metrics", "records", "intervals")) for name in found["policy"])
    assert not [name for names in found.values() for name in names if name.startswith(("cli", "workflows"))]
