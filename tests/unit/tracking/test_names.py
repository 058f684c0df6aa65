"""Tags of versions and values that are logged."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import names


def test_a_version_survives_its_tags() -> None:
    ref = ModelRef(
        "a",
        "3",
        "unlearned",
        "m" * 64,
        "run",
        "a/1",
        "miu",
        True,
        7,
        "d" * 64,
        "hmac-sha256:x",
        "hmac-sha256:y",
        "k" * 32,
        "resnet18",
        {"lr": 0.1, "n": [1, 2]},
    )
    written = names.lineage_tags(ref)
    read = names.ref_from_tags("a", "3", "run", {**written, names.TAG_ROLE: "unlearned", names.TAG_MANIFEST: "m" * 64})
    assert read == ref


@pytest.mark.parametrize("hurt", [{names.TAG_SEED: "many"}, *({names.TAG_CONFIG: text} for text in ("{", "[1]", "[" * 90_000))])
def test_a_damaged_tag_is_not_guessed(hurt: dict[str, str]) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        names.ref_from_tags("a", "1", None, hurt)


def test_a_version_tag_is_never_cut() -> None:
    with pytest.raises(InputError, match="100001 characters"):
        names.version_tags({"x": "y" * 100_001})


@given(st.text(max_size=300), st.integers(150, 200))
def test_shortened_text_keeps_the_limit_and_names_its_length(text: str, limit: int) -> None:
    short = names.shortened(text, limit)
    assert len(short) <= limit
    assert short == text if len(text) <= limit else f"[{len(text)} characters, sha256:" in short


def test_numbers_that_are_not_finite_are_named_not_logged() -> None:
    finite, dropped = names.finite_part({"a": 1, "b": float("inf"), "c": float("nan"), "d": None, "e": 0.0})
    assert finite == {"a": 1.0, "e": 0.0}
    assert dropped == ["b", "c", "d"]


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = "import sys, grmu_audit.tracking; print(sorted({'mlflow', 'torch', 'sqlalchemy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
