"""One malformed input after another given to the function that reads it: what it raised, how long it took, what memory it took.

A case is known by its kind and its number alone.  Cases are done in chunks, each in a process of its own and stored under a
digest of the code, so that a run that was stopped continues, and a crash of the interpreter is a result like any other.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measurements.fuzz import mutations
from benchmarks.measurements.fuzz.bundles import of_bundle
from benchmarks.measurements.fuzz.seeds import AUDITS, BUNDLES, LISTS, MANIFESTS, PARQUET, POLICIES, SPECS, TABLES, read_seeds
from grmu_audit.errors import GrmuAuditError
from grmu_audit.utils import canonical_json, write_atomic

MOST_SECONDS, MOST_BYTES = 10.0, 1 << 30
"""CPU time and memory that no case may take more of."""
_STATUS = Path("/proc/self/status")
_LARGEST_CASE = 32 << 20
_OTHER_PARTS = ("cli", "workflows", "tracking", "training", "unlearning", "evaluation")


@dataclass
class Failure:
    """A case that did what none may do."""

    case: int
    """Its number."""
    what: str
    """Exception and place, or ``time``, ``memory`` or ``crash`` with the number."""


@dataclass
class Chunk:
    """What a run of cases gave."""

    cases: int = 0
    """Cases that were run."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """How often each outcome occurred: ``read``, or the name of the project's own exception."""
    failures: list[Failure] = field(default_factory=list)
    """Cases that failed."""
    slowest: float = 0.0
    """CPU seconds of the slowest case."""
    largest: int = 0
    """Bytes that the process grew by in the most demanding case."""
    seconds: float = 0.0
    """CPU seconds of the whole chunk."""


class TooLongError(BaseException):
    """A case went on after ``MOST_SECONDS``; no ``except Exception`` of a parser may hold it."""


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    """Its name."""
    mutate: Callable[[bytes, random.Random, Sequence[bytes]], bytes]
    """Makes a malformed file of a real one."""
    read: Callable[[Path], None]
    """What the tool does with such a file, up to the first number that it would show."""
    wanted: int
    """Cases of a whole run."""


def _list(path: Path) -> None:
    from grmu_audit.data.forget.forget_list import read_forget_list

    read_forget_list(path)


def _policy(path: Path) -> None:
    from grmu_audit.policy.files import load, policy_sha256

    policy_sha256(load(path))


def _predictions(path: Path) -> None:
    from grmu_audit.auditing.prediction_files import read_predictions

    read_predictions(path)


def _parquet(path: Path) -> None:
    from grmu_audit.data.forget.forget_list import read_forget_list
    from grmu_audit.utils.tables import read_table

    for read in (_predictions, read_table, read_forget_list):
        try:
            read(path)
        except GrmuAuditError as error:
            last: GrmuAuditError | None = error
        else:
            last = None
    if last is not None:
        raise last


@cache
def _judge() -> Any:
    from grmu_audit.policy import load_named

    return load_named("default"), load_named("strict")


def _audit(path: Path) -> None:
    """As ``gate --audit`` and ``report``: read, not expired, judged by two policies, as text."""
    from grmu_audit import report
    from grmu_audit.auditing.audit_files import read_audit
    from grmu_audit.evidence.validity import require_valid_dates, require_valid_waivers
    from grmu_audit.policy.judgement import judge

    audit = read_audit(path)
    for policy in _judge():
        judged = judge(audit, policy, date(2026, 6, 1))
    report.render(judged, "text")
    if hashlib.sha256(path.read_bytes()).digest()[0] < 32:
        report.render(judged, "html")
        report.render(audit, "junit")
    require_valid_dates(audit)
    require_valid_waivers(audit)


def _spec(path: Path) -> None:
    """As ``load_model`` before the weights are read."""
    from grmu_audit.models.weights import described_bytes, read_spec

    described_bytes(read_spec(path))


def _manifest(path: Path) -> None:
    from grmu_audit.data.readers.user_data import read_manifest

    read_manifest({"manifest": str(path)})


def _bundle(path: Path) -> None:
    from grmu_audit.auditing.bundle_check import verify_bundle
    from grmu_audit.errors import IntegrityError

    checked = verify_bundle(path)
    if checked.findings:
        raise IntegrityError(checked.findings[0])


KINDS = (
    Kind(LISTS, mutations.of_list, _list, 100_000),
    Kind(POLICIES, mutations.of_yaml, _policy, 100_000),
    Kind(TABLES, mutations.of_table, _predictions, 100_000),
    Kind(AUDITS, mutations.of_json, _audit, 100_000),
    Kind(SPECS, mutations.of_json, _spec, 100_000),
    Kind(MANIFESTS, mutations.of_yaml, _manifest, 100_000),
    Kind(PARQUET, mutations.of_parquet, _parquet, 5_000),
    Kind(BUNDLES, of_bundle, _bundle, 5_000),
)
"""Every kind, in the order of the page."""


def case_bytes(kind: Kind, seeds: Sequence[bytes], number: int) -> bytes:
    """The malformed file of a number."""
    dice = random.Random(f"{kind.name}:{number}")
    return kind.mutate(dice.choice(seeds), dice, seeds)[:_LARGEST_CASE]


def run_cases(kind: Kind, seeds: Sequence[bytes], numbers: Sequence[int], folder: Path) -> Chunk:
    """Run the cases of these numbers in this process.

    Args:
        kind: the kind of file.
        seeds: its real files.
        numbers: of the cases.
        folder: where each case is written in turn; a manifest finds its table beside it.
    """
    found, outcomes, start = Chunk(), Counter[str](), time.process_time()
    signal.signal(signal.SIGVTALRM, _too_long)
    path = folder / f"case-{os.getpid()}{'.yaml' if kind.name in (POLICIES, MANIFESTS) else ''}"
    for number in numbers:
        path.write_bytes(case_bytes(kind, seeds, number))
        outcome, seconds, grown = _one(kind, path)
        outcomes[outcome] += 1
        found.cases += 1
        found.slowest, found.largest = max(found.slowest, seconds), max(found.largest, grown)
        if outcome.startswith("failed: "):
            found.failures.append(Failure(number, outcome.removeprefix("failed: ")))
        if seconds > MOST_SECONDS or grown > MOST_BYTES:
            found.failures.append(Failure(number, f"{seconds:.1f} s, {grown >> 20} MiB"))
    path.unlink(missing_ok=True)
    found.outcomes, found.seconds = dict(outcomes), time.process_time() - start
    return found


def _too_long(number: int, frame: object) -> None:
    raise TooLongError


def _one(kind: Kind, path: Path) -> tuple[str, float, int]:
    """Outcome, CPU seconds and growth of one case."""
    _reset_peak()
    before, start = _memory("VmRSS"), time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        kind.read(path)
        outcome = "read"
    except GrmuAuditError as error:
        outcome = type(error).__name__
    except TooLongError:
        outcome = "failed: time"
    except Exception as error:  # noqa: BLE001  (which one it is, is the result)
        outcome = f"failed: {type(error).__name__} in {_place(error)}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return outcome, time.process_time() - start, max(_memory("VmHWM") - before, 0)


def _place(error: BaseException) -> str:
    """The innermost function of the package that the exception passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/grmu_audit/" in frame.filename]
    last = frames[-1] if frames else None
    return f"{last.filename.rsplit('/grmu_audit/', 1)[1]}:{last.name}" if last else "the benchmark itself"


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """Bytes of memory in use (``VmRSS``) or at most so far (``VmHWM``)."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


@cache
def code_digest() -> str:
    """Digest of the code whose behaviour the cases show: the package without those parts that no reader of a file calls."""
    root = Path(__file__).parents[3]
    digest = hashlib.sha256()
    package = (root / "grmu_audit").rglob("*.py")
    used = [path for path in package if path.relative_to(root).parts[1] not in _OTHER_PARTS]
    for path in sorted([*used, *Path(__file__).parent.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def chunk_path(cache_folder: Path, kind: Kind, first: int, size: int) -> Path:
    """Where a chunk is stored."""
    return cache_folder / "chunks" / code_digest()[:16] / kind.name / f"{first:07d}-{size}.json"


def run_chunk(cache_folder: Path, kind: Kind, first: int, size: int) -> Chunk:
    """The stored chunk, or the cases run in a process of their own and stored."""
    path = chunk_path(cache_folder, kind, first, size)
    if path.is_file():
        return read_chunk(path)
    process = multiprocessing.get_context("fork").Process(target=_in_child, args=(cache_folder, kind, first, size, path))
    process.start()
    process.join()
    if not path.is_file():
        crash = Chunk(size, {"crash": 1}, [Failure(first, f"crash: the interpreter ended with {process.exitcode}")])
        write_atomic(path, canonical_json(asdict(crash)))
    return read_chunk(path)


def read_chunk(path: Path) -> Chunk:
    """A stored chunk."""
    tree = json.loads(path.read_bytes())
    return Chunk(**{**tree, "failures": [Failure(**one) for one in tree["failures"]]})


def _in_child(cache_folder: Path, kind: Kind, first: int, size: int, path: Path) -> None:
    work = cache_folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    seeds = read_seeds(cache_folder / "seeds", kind.name)
    write_atomic(path, canonical_json(asdict(run_cases(kind, seeds, range(first, first + size), work))))


def stored_chunks(cache_folder: Path, kind: Kind) -> list[Chunk]:
    """All chunks of a kind under the present code."""
    return [read_chunk(path) for path in sorted(chunk_path(cache_folder, kind, 0, 0).parent.glob("*.json"))]
