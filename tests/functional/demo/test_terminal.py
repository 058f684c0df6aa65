"""What commands on the demo's store show in a real terminal of 80 columns: no line is wider."""

from __future__ import annotations

import pytest
from support.progress_lines import CompletedLine

from benchmarks.pages.terminal import COLUMNS, watch

SHOWN = {
    "audit --model photodigits/6 --out shown": 0,
    "gate --model photodigits/3": 0,
    "gate --model photodigits/5": 1,
    "compare photodigits/1 photodigits/3 photodigits/5": 0,
    "history --model photodigits": 0,
    "requests list --model photodigits": 0,
    "verify --model photodigits": 0,
}


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWN)
def test_no_line_is_wider_than_the_terminal(demo: CompletedLine, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", demo.environment["GRMU_AUDIT_HMAC_KEY_FILE"])
    seen = watch(line.split(), demo.folder)
    assert seen.code == SHOWN[line], seen.text
    assert len(seen.lines) > 1
    assert len(seen.widest) <= COLUMNS, seen.widest
