"""A check beside others who write to the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.tracking import Store, read_ledger, verify
from grmu_audit.tracking.ledger import append_entry


class _Busy:
    """A store on which somebody enters an answer whenever the aliases are read."""

    def __init__(self, store: MemoryStore) -> None:
        self._store, self.times = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def aliases(self, name: str) -> dict[str, str]:
        self.times += 1
        said = {"version": "1", "request": f"R-{self.times}", "actor": "ben", "time": f"2026-01-0{self.times}T00:00:00Z"}
        append_entry(self._store, read_ledger(self._store, name).new_entry("answer", **said), self._store.resolve(f"{name}/1"))
        return self._store.aliases(name)


def test_a_finding_that_stays_is_named_however_often_the_ledger_grows(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    ref = version(store, "m", tmp_path / "v1")
    audited(store, ref, [predictions(100)], policy())
    busy = _Busy(store)
    assert verify(cast("Store", busy), "m") == []
    assert busy.times == 1
    store.set_alias("m", "champion", "1")
    busy = _Busy(store)
    assert [finding.check for finding in verify(cast("Store", busy), "m")] == ["alias"]
    assert busy.times > 1, "it was looked at again, and no more than a few times"
