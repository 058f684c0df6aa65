"""A suite end to end in one process: what exists is not done again, and a killed call is finished by the next."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.benchmarks import tiny_suite
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.errors import DivergedError, InputError, IntegrityError
from grmu_audit.jobs import Job, JobFolder
from grmu_audit.records.benchmark import TABLE_METRICS
from grmu_audit.training import loop
from grmu_audit.utils import sha256_hex
from grmu_audit.utils.array_files import pack_arrays
from grmu_audit.workflows.benchmarks import BenchmarkOptions, BenchmarkRun, Suite, read_rows, run_benchmark
from grmu_audit.workflows.benchmarks.estimate import estimate
from grmu_audit.workflows.benchmarks.measuring import run_row_job
from grmu_audit.workflows.benchmarks.models import open_problem, read_model
from grmu_audit.workflows.benchmarks.output import write_leaderboard, write_output
from grmu_audit.workflows.benchmarks.running import read_digests, run_settings
from grmu_audit.workflows.session import Session


def run(folder: Path, suite: Suite | None = None, session: Session | None = None, **changes: object) -> BenchmarkRun:
    session = session or open_session(MemoryStore(folder / "store"), folder)
    return run_benchmark(session, suite or tiny_suite(), BenchmarkOptions(folder / "out", **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BenchmarkRun]:
    folder = tmp_path_factory.mktemp("benchmark")
    return folder, run(folder)


def test_every_row_has_the_papers_numbers(done: tuple[Path, BenchmarkRun]) -> None:
    _, found = done
    titles = [row.title for row in found.rows]
    assert titles == ["untouched", "retrain + REWEIGHT (reference)", "retrain + REWEIGHT (one more)", "retrain", "ft",
                      "ft + REWEIGHT", "ssd"]  # fmt: skip
    assert found.trained == 7  # the model before, one reference, the ceiling, and four rows
    assert found.measured == 6
    for row in found.rows:
        assert set(TABLE_METRICS) <= set(row.values), row.title
    gap = {row.title: row.values.get("AVG_GAP") for row in found.rows}
    for row in found.rows:
        if gap[row.title] is not None:  # one reference: the mean of the deltas is what is lacking of 1
            mean = sum(row.deltas[name] for name in TABLE_METRICS) / len(TABLE_METRICS)
            assert gap[row.title] == pytest.approx(1 - mean, abs=1e-12)


def test_the_plan_counts_what_was_done(done: tuple[Path, BenchmarkRun], tmp_path: Path) -> None:
    folder, found = done
    session = open_session(MemoryStore(tmp_path / "store"), folder)
    planned = estimate(session, tiny_suite(), BenchmarkOptions(tmp_path / "elsewhere"), 0.0)
    assert (planned.models, planned.rows, planned.existing_models) == (7, 6, 0)
    assert planned.cost.gradients == found.sample_gradients
    assert planned.hours is None
    again = estimate(session, tiny_suite(), BenchmarkOptions(folder / "out"), 0.0)
    assert (again.existing_models, again.existing_rows, again.cost.gradients) == (7, 6, 0)


def test_a_second_call_trains_nothing(done: tuple[Path, BenchmarkRun], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, first = done

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an epoch was begun")

    monkeypatch.setattr(loop, "run_epochs", refuse)
    again = run(folder)
    assert (again.trained, again.measured, again.sample_gradients) == (0, 0, 0)
    assert again.rows == first.rows


def test_a_killed_call_is_finished_and_no_row_is_there_twice(done: tuple[Path, BenchmarkRun], tmp_path: Path) -> None:
    _, whole = done
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)

    class Killed(BaseException):
        pass

    class Observer:
        count = 0

        def note(self, text: str) -> None:
            pass

        def progress(self, *_: object, **__: object):  # type: ignore[no-untyped-def]
            from contextlib import contextmanager

            @contextmanager
            def shown():  # type: ignore[no-untyped-def]
                yield self.advance

            return shown()

        def advance(self, count: int, note: str = "") -> None:
            self.count += 1
            if self.count == 9:
                raise Killed

    session.observer = Observer()
    with pytest.raises(Killed):
        run(tmp_path, session=session)
    recorded = len(list((tmp_path / "out" / "rows").iterdir()))
    assert 0 < recorded < 6
    rest = run(tmp_path, session=open_session(session.store, tmp_path))  # type: ignore[arg-type]
    assert rest.trained == 0
    assert rest.measured == 6 - recorded
    assert [(row.id, row.values) for row in rest.rows] == [(row.id, row.values) for row in whole.rows]


def test_more_seeds_and_methods_add_rows_and_leave_the_others(done: tuple[Path, BenchmarkRun], tmp_path: Path) -> None:
    folder, first = done
    more = tiny_suite(methods=[*tiny_suite().model_dump(by_alias=True)["methods"], {"method": "gradient_ascent"}])
    found = run(folder, more)
    assert (found.trained, found.measured) == (1, 1)
    assert [row for row in found.rows if row.method != "gradient_ascent"] == list(first.rows)


def test_output_is_the_same_bytes_and_a_leaderboard_follows(done: tuple[Path, BenchmarkRun], tmp_path: Path) -> None:
    folder, found = done
    write_output(tiny_suite(), found.rows, tmp_path / "a")
    write_output(tiny_suite(), found.rows, tmp_path / "b")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert {path.suffix for path in files} >= {".md", ".tex", ".csv", ".html", ".svg", ".png"}
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    page = write_leaderboard([folder / "out"], tmp_path / "board.html").read_text()
    assert "ft + REWEIGHT" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "").replace("http://purl.org", "")


def test_rows_of_other_options_are_no_longer_read(done: tuple[Path, BenchmarkRun], tmp_path: Path) -> None:
    import shutil

    folder, _ = done
    shutil.copytree(folder / "out", tmp_path / "out")
    before = {row.title: row.id for row in read_rows(tmp_path / "out")}
    methods = [{"method": "ssd", "reweight": "no", "options": {"strength": 0.5}}]
    run(tmp_path, tiny_suite(methods=methods))
    after = {row.title: row.id for row in read_rows(tmp_path / "out")}
    assert after["ssd"] != before["ssd"]
    assert {**after, "ssd": ""} == {**before, "ssd": ""}
    assert len(read_rows(tmp_path / "out")) == len(before)


def test_edited_results_and_rows_are_refused(done: tuple[Path, BenchmarkRun], tmp_path: Path) -> None:
    import shutil

    folder, _ = done
    shutil.copytree(folder / "out", tmp_path / "out")
    row, *others = (tmp_path / "out" / "rows").iterdir()
    row.write_text(json.dumps([{"id": "x"}]))
    with pytest.raises(IntegrityError, match="no row of a benchmark"):
        read_rows(tmp_path / "out")
    for path in (row, *others):
        path.unlink()
    for path in (tmp_path / "out" / "jobs" / "results").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="was changed"):
        run(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}'])
def test_damaged_lists_beside_the_rows_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"data\.json is damaged"):
        read_digests(tmp_path)
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"index\.json is damaged"):
        read_rows(tmp_path)


def test_a_folder_without_rows_and_a_missing_start_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows"):
        read_rows(tmp_path)
    with pytest.raises(InputError, match="--weights"):
        run(tmp_path, tiny_suite(network={"architecture": "small_resnet", "start": "file"}))
    with pytest.raises(InputError, match="epochz"):
        run(tmp_path, options={"epochz": 1})


@pytest.mark.parametrize("chosen", [None, "random"])
def test_a_suite_that_needs_no_file_of_start_weights_reads_none(tmp_path: Path, chosen: str | None) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    assert run_settings(session, tiny_suite(), BenchmarkOptions(tmp_path / "out", weights=chosen), None).weights is None


def test_a_file_of_start_weights_is_known_by_its_digest_and_ending(tmp_path: Path) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    for name in ("start.safetensors", "start"):
        (tmp_path / name).write_bytes(b"weights")
    folder = JobFolder(str(tmp_path / "jobs"), bytes(32))
    options = BenchmarkOptions(tmp_path / "out", weights=str(tmp_path / "start.safetensors"))
    digest = sha256_hex(b"weights")
    assert run_settings(session, tiny_suite(), options, None).weights == (digest, ".safetensors")
    assert not (tmp_path / "jobs").exists(), "a plan stores nothing"
    assert run_settings(session, tiny_suite(), options, folder).weights == (digest, ".safetensors")
    assert folder.input(digest) == b"weights"
    with pytest.raises(InputError, match="--weights: the file's name has no ending"):
        run_settings(session, tiny_suite(), replace(options, weights=str(tmp_path / "start")), folder)


def test_a_model_that_is_missing_or_diverged_is_compared_with_nothing(tmp_path: Path) -> None:
    folder, job = JobFolder(str(tmp_path / "jobs"), bytes(32)), Job("benchmark-model", {"number": 1})
    with pytest.raises(IntegrityError, match=f"the result of job {job.id[:12]} is missing from .*: start the benchmark again"):
        read_model(job, folder)
    folder.finish(job, pack_arrays({"diverged": "loss is nan"}, {}))
    with pytest.raises(DivergedError, match=r"others are compared with diverged: loss is nan\. Lower the suite's"):
        read_model(job, folder)


def test_a_benchmark_without_rows_has_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="suite tiny has no rows yet: there is nothing to write"):
        write_output(tiny_suite(), [], tmp_path / "out", "grmu-audit benchmark tiny")
    assert not (tmp_path / "out").exists()


def test_a_worker_with_other_data_is_refused_and_a_diverged_model_has_no_numbers(tmp_path: Path) -> None:
    data = {"name": "photodigits", "options": {"renders": 1}, "digest": "0" * 64}
    with pytest.raises(IntegrityError, match=rf"photodigits has digest \w+ here, and {'0' * 64} where the jobs were made"):
        open_problem({"data": data, "device": "cpu"})
    data["digest"] = photodigits(PhotoDigitsOptions(renders=1)).digest
    problem = open_problem({"data": data, "device": "cpu"})
    assert problem.forget_rows(None).tolist() == []
    folder, model = JobFolder(str(tmp_path / "jobs"), bytes(32)), Job("benchmark-model", {"number": 1})
    folder.finish(model, pack_arrays({"diverged": "loss is nan"}, {}))
    given = {"data": data, "device": "cpu", "model": {"function": model.function, "arguments": model.arguments}}
    found = json.loads(run_row_job(Job("benchmark-row", given), folder))
    assert (found["values"], found["deltas"], found["model"]) == ({}, {}, {"diverged": "loss is nan"})
    assert found["facts"]["dataset_sha256"] == data["digest"]
