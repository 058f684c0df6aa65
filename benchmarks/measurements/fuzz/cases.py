"""One malformed input after another given to the function that reads it: what it raised, how long it took, what memory it took.

A case is known by its kind and its number alone.  Cases are done in order, a chunk at a time in a process of its own, so that a
crash of the interpreter is a result like any other.  They are counted in one file a kind, with a digest of the code that reads
the kind: a run that was stopped goes on, on another machine too.
"""

from __future__ import annotations

import ast
import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
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
_ROOT = Path(__file__).parents[3]
_HEAD = _ROOT / "grmu_audit" / "__init__.py"  # names everything, for users; imports nothing by itself
_MOST_FAILURES = 100


@dataclass
class Failure:
    """A case that did what none may do."""

    case: int
    """Its number."""
    what: str
    """Exception and place, or ``time``, ``memory`` or ``crash`` with the number."""


@dataclass
class Tally:
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
    """CPU seconds of all cases."""
    code: str = ""
    """Digest of the code that read them; empty for a part of a run."""

    def __add__(self, other: Tally) -> Tally:
        """Both together; of the failures the first hundred, while ``outcomes`` counts all."""
        return replace(
            self,
            cases=self.cases + other.cases,
            outcomes=dict(Counter(self.outcomes) + Counter(other.outcomes)),
            failures=(self.failures + other.failures)[:_MOST_FAILURES],
            slowest=max(self.slowest, other.slowest),
            largest=max(self.largest, other.largest),
            seconds=self.seconds + other.seconds,
        )


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
    modules: tuple[str, ...]
    """Modules whose functions ``read`` calls."""
    wanted: int
    """Cases of a whole run."""
    chunk: int = 1000
    """Cases that one process runs."""

    @property
    def stem(self) -> str:
        """Its name as that of a file."""
        return self.name.removesuffix(".json")


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
    from grmu_audit.utils.table_files import read_table

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
    if hashlib.sha256(path.read_bytes()).digest()[0] < 8:  # a page takes ten times as long as all else
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


_JUDGED = ("auditing.audit_files", "evidence.validity", "policy.judgement", "policy", "report")
KINDS = (
    Kind(LISTS, mutations.of_list, _list, ("data.forget.forget_list",), 100_000),
    Kind(POLICIES, mutations.of_yaml, _policy, ("policy.files",), 100_000),
    Kind(TABLES, mutations.of_table, _predictions, ("auditing.prediction_files",), 100_000),
    Kind(AUDITS, mutations.of_json, _audit, _JUDGED, 100_000, 250),
    Kind(SPECS, mutations.of_json, _spec, ("models.weights",), 100_000),
    Kind(MANIFESTS, mutations.of_yaml, _manifest, ("data.readers.user_data",), 100_000),
    Kind(PARQUET, mutations.of_parquet, _parquet, ("auditing.prediction_files", "data.forget.forget_list"), 5_000, 100),
    Kind(BUNDLES, of_bundle, _bundle, ("auditing.bundle_check",), 5_000, 100),
)
"""Every kind, in the order of the page."""


def case_bytes(kind: Kind, seeds: Sequence[bytes], number: int) -> bytes:
    """The malformed file of a number."""
    dice = random.Random(f"{kind.name}:{number}")
    return kind.mutate(dice.choice(seeds), dice, seeds)[:_LARGEST_CASE]


def run_cases(kind: Kind, seeds: Sequence[bytes], numbers: Sequence[int], folder: Path) -> Tally:
    """Run the cases of these numbers in this process.

    Args:
        kind: the kind of file.
        seeds: its real files.
        numbers: of the cases.
        folder: where each case is written in turn; a manifest finds its table beside it.
    """
    found, outcomes, start = Tally(), Counter[str](), time.process_time()
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


def imported_modules(names: Iterable[str]) -> set[Path]:
    """Files of these modules and of all in the package that they import, at their heads or in functions; not for types alone."""
    found, waiting = set[Path](), [f"grmu_audit.{name}" for name in names]
    while waiting:
        path = _ROOT / waiting.pop().replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.is_file() and path not in found and path != _HEAD:
            found.add(path)
            waiting += _imports(ast.parse(path.read_text(encoding="utf-8")))
            waiting += [".".join(parent.parts) for parent in path.relative_to(_ROOT).parents][:-2]
    return found


def _imports(node: ast.AST) -> list[str]:
    """Names of the package's modules, and of what is taken from them, which may be modules too."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return [name for child in node.orelse for name in _imports(child)]
    if isinstance(node, ast.ImportFrom) and str(node.module).startswith("grmu_audit"):
        return [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for child in ast.iter_child_nodes(node) for name in _imports(child)]


@cache
def code_digest(modules: tuple[str, ...], benchmark: Path = Path(__file__).parent) -> str:
    """Digest of the code whose behaviour is shown: these modules, all that they import, and the benchmark's own folder."""
    digest = hashlib.sha256()
    for path in sorted([*imported_modules(modules), *benchmark.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def tally_path(results: Path, kind: Kind) -> Path:
    """Where the count of a kind is stored."""
    return results / f"{kind.stem}.json"


def read_tally(results: Path, kind: Kind) -> Tally:
    """The stored count of a kind under the present code; an empty one where there is none."""
    path = tally_path(results, kind)
    tree = json.loads(path.read_bytes()) if path.is_file() else {}
    if tree.get("code") != code_digest(kind.modules):
        return Tally(code=code_digest(kind.modules))
    return Tally(**{**tree, "failures": [Failure(**one) for one in tree["failures"]]})


def run_next(cache_folder: Path, results: Path, kind: Kind, size: int) -> Tally:
    """Run the next cases of a kind in a process of their own, and store the new count.

    Args:
        cache_folder: holds the real files; cases are written there.
        results: folder of the counts.
        kind: the kind of file.
        size: how many cases.

    Returns:
        What these cases gave.
    """
    before = read_tally(results, kind)
    part = cache_folder / "work" / f"{kind.stem}-{os.getpid()}.json"
    part.unlink(missing_ok=True)
    numbers = range(before.cases, before.cases + size)
    process = multiprocessing.get_context("fork").Process(target=_in_child, args=(cache_folder, kind, numbers, part))
    process.start()
    process.join()
    if part.is_file():
        tree = json.loads(part.read_bytes())
        found = Tally(**{**tree, "failures": [Failure(**one) for one in tree["failures"]]})
        part.unlink()
    else:
        what = f"crash: the interpreter ended with {process.exitcode}"
        found = Tally(size, {"crash": size}, [Failure(numbers.start, what)])
    write_atomic(tally_path(results, kind), canonical_json(asdict(before + found)))
    return found


def _in_child(cache_folder: Path, kind: Kind, numbers: Sequence[int], path: Path) -> None:
    seeds = read_seeds(cache_folder / "seeds", kind.name)
    write_atomic(path, canonical_json(asdict(run_cases(kind, seeds, numbers, cache_folder / "work"))))
