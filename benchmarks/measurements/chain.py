"""Twenty requests, one after the other, by the real command line and a SQLite store: what each version retains and knows."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from grmu_audit.cli.app import execute
from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import read_forget_list
from grmu_audit.workflows.audits.collection import stored_or_new_outputs
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.session import Session

CODE = (
    "benchmarks/measurements/chain.py",
    "grmu_audit/data",
    "grmu_audit/models",
    "grmu_audit/tracking/requests",
    "grmu_audit/training",
    "grmu_audit/unlearning",
    "grmu_audit/workflows/forget_requests.py",
    "grmu_audit/workflows/versions",
)
"""What the numbers depend on."""
METHODS = ("retrain", "miu", "ft")
"""Of the later requests, in turn."""
NAME = "chain"


@dataclass(frozen=True)
class Size:
    """How long the chain is, and how its models are trained."""

    requests: int = 20
    """Requests, the first one included."""
    references: int = 4
    """Models that are retrained without the rows of the first request."""
    most_rows: int = 6
    """Training rows that a later request names at most."""
    settings: tuple[str, ...] = ("augment=false", "epochs=10", "batch_size=32")
    """Settings of every training."""


def measure_chain(seed: int, folder: Path, device: str, size: Size) -> dict[str, Any]:
    """One chain in an empty folder.

    Returns:
        ``seed``, ``settings``, ``rows`` (of the first request), ``before`` and ``references`` (how many of these the version
        before and each reference gets right), ``steps`` (see ``_Chain.serve``) and CPU ``seconds``.
    """
    start = time.process_time()
    with chdir(folder):
        chain = _Chain(seed, device, size)
        chain.run("pretrain", "--name", NAME, "--data", "photodigits", "--data-option", f"seed={seed}")
        chain.run("forget", "sample", "--model", f"{NAME}/1", "--group", "1,0", "--ratio", 0.5, "--seed", seed, "--out", "1.csv")
        first = read_forget_list(Path("1.csv")).ids
        steps = [chain.serve(f"{NAME}/1", "retrain", list(first), 1)]
        others = ("--seed", seed + 100, "--seeds", size.references)
        chain.run("retrain", "--model", f"{NAME}/1", "--forget", "1.csv", *others)
        rng = np.random.default_rng(seed)
        for number in range(2, size.requests + 1):
            count = int(rng.integers(1, size.most_rows, endpoint=True))
            ids = rng.choice(sorted(chain.training - chain.asked), count, replace=False).tolist()
            steps.append(chain.serve(steps[-1]["version"], METHODS[(number - 2) % len(METHODS)], ids, number))
            sys.stderr.write(f"seed {seed}, request {number}: {steps[-1]}\n")
        labels = [f"{NAME}/{number}" for number in range(3, 3 + size.references)]
        right = {label: int(chain.correct(label)[chain.rows_of(first)].sum()) for label in (f"{NAME}/1", *labels)}
    return {
        "seed": seed,
        "settings": size.settings,
        "rows": len(first),
        "before": right[f"{NAME}/1"],
        "references": [right[label] for label in labels],
        "steps": steps,
        "seconds": round(time.process_time() - start, 1),
    }


class _Chain:
    """The versions of one seed, and beside the tool's records what they were asked to forget."""

    def __init__(self, seed: int, device: str, size: Size) -> None:
        self.seed, self.device, self.size = seed, device, size
        self.asked: set[str] = set()
        self.first: Sequence[str] = ()

    @cached_property
    def dataset(self) -> Dataset:
        """The data."""
        session = self.session()
        return session.dataset_of(session.store.resolve(f"{NAME}/1"))

    @cached_property
    def training(self) -> frozenset[str]:
        """Ids of the training rows."""
        frame = self.dataset.frame
        return frozenset(frame["id"][frame["split"] == "train"])

    def session(self) -> Session:
        """Reads what the command line wrote."""
        return Session(device=self.device)

    def run(self, *line: object) -> str:
        """The first word that a command line prints; it must end with exit code 0."""
        trains = line[0] in ("pretrain", "retrain", "unlearn")
        options = [word for setting in self.size.settings for word in ("--set", setting)] if trains else []
        out = io.StringIO()
        with redirect_stdout(out):
            code = execute(["--quiet", "--device", self.device, *map(str, line), *options])
        if code != 0:
            raise RuntimeError(f"{line} ended with exit code {code}")
        return out.getvalue().split()[0]

    def serve(self, model: str, method: str, ids: Sequence[str], number: int) -> dict[str, Any]:
        """One request, by one command.

        Returns:
            ``version``, ``method``; rows ``asked`` for by it and in the ``union``; training rows ``retained`` by the version's
            record, and ``expected``: all minus the union; ``erased_read``: rows of the union in batches that a label is learned
            from; ``right``: rows of the first request that it gets right; accuracy on ``retain`` and ``test``.
        """
        path = Path(f"{number}.csv")
        path.write_text("id\n" + "\n".join(ids) + "\n")
        self.asked |= set(ids)
        self.first = self.first or ids
        erased = set(self.rows_of(self.asked).tolist())
        command = ("retrain",) if method == "retrain" else ("unlearn", "--method", method)
        with passes_over_rows() as passes:
            version = self.run(*command, "--model", model, "--forget", path, "--seed", self.seed)
        learned = set().union(*(rows for rows in passes if not rows <= erased))  # a pass over the forget set alone unlearns it
        session, correct, split = self.session(), self.correct(version), self.dataset.frame["split"].to_numpy()
        kept = np.setdiff1d(np.flatnonzero(split == "train"), sorted(erased))
        return {
            "version": version,
            "method": method,
            "asked": len(ids),
            "union": len(self.asked),
            "retained": sum(row.retain for row in stored_request(session, session.store.resolve(version)).groups),
            "expected": len(self.training) - len(self.asked),
            "erased_read": len(learned & erased),
            "right": int(correct[self.rows_of(self.first)].sum()),
            "retain": float(correct[kept].mean()),
            "test": float(correct[split == "test"].mean()),
        }

    def rows_of(self, ids: Collection[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Row numbers of ids."""
        return np.flatnonzero(self.dataset.frame["id"].isin(list(ids)).to_numpy()).astype(np.int64)

    def correct(self, version: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """[rows of the data] whether the version's stored prediction is the label."""
        session = self.session()
        outputs = stored_or_new_outputs(session, session.store.resolve(version), self.dataset)
        by_name = dict(zip(outputs.ids.tolist(), (outputs.logits.argmax(axis=1) == outputs.target).tolist(), strict=True))
        return np.array([by_name[name] for name in session.pseudonyms_of(self.dataset)])


@contextmanager
def passes_over_rows() -> Iterator[list[set[int]]]:
    """Row numbers of every shuffled pass, counted where batches are handed out; passes without a generator only evaluate."""
    passes: list[set[int]] = []
    batches = BatchSource.batches

    def counted(self: BatchSource, rows: Any, size: int, generator: Any = None, **more: Any) -> Iterator[Batch]:
        """The batches, with their rows noted."""
        seen: set[int] = set()
        if generator is not None:
            passes.append(seen)
        for batch in batches(self, rows, size, generator, **more):
            seen.update(batch.rows.tolist())
            yield batch

    with mock.patch.object(BatchSource, "batches", counted):
        yield passes
