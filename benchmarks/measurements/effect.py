"""The demo over several seeds: does PhotoDigits show the seed paper's effect, and how far do its numbers spread?

Each seed is the demo itself (``grmu_audit.workflows.demo``) in a registry of its own, and two more versions.  What a seed gave is
one line of ``effect.jsonl`` in the cache folder, under a digest of the seed, the code and the machine: a run that was killed
continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from grmu_audit.auditing import measurement
from grmu_audit.records import (
    CANDIDATE,
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    ForgetRecord,
    MeasureOptions,
    ModelRef,
    Subject,
)
from grmu_audit.training.runtime import choose_device, hardware
from grmu_audit.utils import canonical_json
from grmu_audit.utils.resources import VERSION
from grmu_audit.workflows.audits.collection import predictions_under_request, stored_or_new_outputs
from grmu_audit.workflows.demo import DemoResult, demo
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.unlearning import unlearn

ROOT = Path(__file__).parents[2]
METRICS = ("RA", "UA", "TA", "GA", "WG", "EO", "MIA_AUC", "AVG_GAP")
"""Metrics of the page."""
EXTRA = (("shrink", "shrink", False), ("gradient ascent", "gradient_ascent", False))
"""Versions beside the demo's with default settings: title, method, whether by REWEIGHT."""
Result = dict[str, Any]
"""``seed``, ``seconds`` of the demo; by row: ``demo`` (numbers), ``verdicts``, ``effect`` (numbers and seconds)."""


def run_seed(seed: int, device: str, folder: Path) -> Result:
    """The demo of one seed in an empty folder, and what the page of the effect needs beside it."""
    session = Session(tracking_uri=f"sqlite:///{folder}/mlflow.db", root=folder, device=device)
    start = time.perf_counter()
    story = demo(session, folder / "demo", lambda line: None, seed)
    seconds = time.perf_counter() - start
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "demo": {row.what: numbers(row.audited.audit, row.subject) for row in story.rows},
        "verdicts": {row.what: row.verdict for row in story.rows if row.subject == CANDIDATE},
        "effect": effect(session, story, folder / "demo" / "ids.csv", seed),
    }


def effect(session: Session, story: DemoResult, ids: Path, seed: int) -> dict[str, dict[str, Any]]:
    """Numbers and seconds of the versions on the page; AVG_GAP is against retrain + REWEIGHT."""
    base, plain, weighted, good = (row.version for row in story.rows[:4])
    versions = {"pretrain": base, "retrain": plain, "retrain + REWEIGHT": weighted, "shrink + REWEIGHT": good}
    for title, method, reweight in EXTRA:
        versions[title] = unlearn(
            session, base.label, ids, UnlearnOptions(method, reweight=reweight, seed=seed, keep_collapsed=True)
        )
    dataset, request = session.dataset_of(base), stored_request(session, good)
    models = {
        title: AuditedModel(ref, predictions_under_request(stored_or_new_outputs(session, ref, dataset), request, dataset))
        for title, ref in versions.items()
    }
    context = AuditContext(DataRecord("", {}), ForgetRecord(0, "", request.dominant_groups))
    found = {}
    for title, model in models.items():
        inputs = AuditInputs(model, references=(models["retrain + REWEIGHT"],))
        audit = measurement.measure(inputs, context, MeasureOptions(seed=seed))
        found[title] = {"values": numbers(audit, CANDIDATE), "seconds": seconds_of(model.ref)}
    return found


def numbers(audit: Audit, subject: Subject) -> dict[str, float]:
    """The metrics of the tables that are defined for a subject of an audit."""
    found = {name: audit.metric(name, subject) for name in METRICS}
    return {name: value.value for name, value in found.items() if value is not None and value.value is not None}


def seconds_of(ref: ModelRef) -> float:
    """How long the training of a version took."""
    value = ref.config["seconds"]
    assert isinstance(value, int | float)
    return float(value)


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on beside the code and the seed."""
    facts = hardware(device)
    return {
        "version": VERSION,
        "torch": facts["torch"],
        "device": device.type,
        "processor": processor() if device.type == "cpu" else facts["device_name"],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def processor(path: Path = Path("/proc/cpuinfo")) -> str:
    """Model name of the processor, with family and model number where the system reports them."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    facts = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in reversed(lines)) if colon}
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    numbered = f" (family {facts['cpu family']}, model {facts['model']})" if {"cpu family", "model"} <= facts.keys() else ""
    return facts["model name"] + numbered


def code_digest(root: Path = ROOT) -> str:
    """SHA-256 over everything that the numbers of a seed are computed by; the pages may change without a new measurement."""
    files = [
        *(root / "grmu_audit").rglob("*.py"),
        *(root / "policies").rglob("*.yaml"),
        root / "benchmarks" / "measurements" / "effect.py",
    ]
    listed = sorted((file.relative_to(root).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)
    return hashlib.sha256(canonical_json(listed)).hexdigest()


class Cache:
    """Results in a file of JSON lines, each with the digest of what it was computed from.

    Args:
        path: the file; created on first use.
        made_from: code and machine.
    """

    def __init__(self, path: Path, made_from: Any) -> None:
        self.path, self.made_from = path, made_from

    def key(self, seed: int) -> str:
        """Digest of seed, code and machine."""
        return hashlib.sha256(canonical_json([seed, self.made_from])).hexdigest()

    def get(self, seed: int) -> Result | None:
        """The result of a seed, or None; a line that was cut off counts as absent."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry["key"] == self.key(seed):
                result: Result = entry["result"]
                return result
        return None

    def put(self, seed: int, result: Result) -> None:
        """Append a result; the line feed before it closes a line that was cut off."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"\n" + canonical_json({"key": self.key(seed), "result": result}) + b"\n")


def measured(seeds: Iterable[int], cache: Cache, run: Callable[[int], Result]) -> list[Result]:
    """Results in the order of the seeds; what the cache does not hold is measured and stored."""
    results = []
    for seed in seeds:
        result = cache.get(seed)
        if result is None:
            result = run(seed)
            cache.put(seed, result)
            sys.stderr.write(f"seed {seed}: {result['seconds']:.0f} s, {result['verdicts']}\n")
            sys.stderr.flush()
        results.append(result)
    return results


def measure(seeds: int, cache: Path, device: str) -> dict[str, Any]:
    """The content of ``effect.json``: machine and results; the operator's key and registry are left alone."""
    facts = machine(choose_device(device))
    kept = Cache(cache / "effect.jsonl", [code_digest(), facts])

    def run(seed: int) -> Result:
        with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
            os.environ["GRMU_AUDIT_HMAC_KEY_FILE"] = str(Path(folder) / "hmac.key")
            return run_seed(seed, device, Path(folder))

    return {"machine": facts, "results": measured(range(seeds), kept, run)}
