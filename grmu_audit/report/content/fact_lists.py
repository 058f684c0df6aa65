"""Recorded facts by label; what was not recorded is collected, never left out silently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from grmu_audit.records import ModelRef
from grmu_audit.report.content.view_model import Block, Card, Fact
from grmu_audit.report.wording.names import safe_name, safe_sentence
from grmu_audit.report.wording.numbers import value_text
from grmu_audit.report.wording.strings import Strings

_CODE_ENDINGS = ("sha256", "digest", "_id", "data_manifest", "report_id")
_SECRET = frozenset({"ids", "id", "key", "hmac_key", "token", "password", "subjects"})


def make_fact(label: str, value: object, kind: str = "text") -> Fact:
    """One fact, cleaned."""
    return Fact(label=safe_name(label), value=safe_sentence(value_text(value)), kind=kind)


def fact_kind(key: str) -> str:
    """``code`` for digests and identifiers, else ``text``."""
    return "code" if key.endswith(_CODE_ENDINGS) else "text"


def sentence_case(key: str) -> str:
    """The key of a record as a label.

    >>> sentence_case("forward_passes")
    'Forward passes'
    """
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


class FactList:
    """Collects the facts of one block and the labels of what is missing."""

    def __init__(self, strings: Strings) -> None:
        self.strings = strings
        self.facts: list[Fact] = []
        self.missing: list[str] = []

    def add(self, key: str, value: object) -> None:
        """One field of the block by its key: recorded, or missing when there is nothing to say."""
        label = self.strings.text(f"fields.{key}")
        if value is None or value == "" or value == () or value == [] or value == {}:
            self.missing.append(label)
        else:
            self.facts.append(make_fact(label, value, fact_kind(key)))

    def add_from(self, source: Mapping[str, Any], keys: Iterable[str]) -> None:
        """Several fields out of a mapping."""
        for key in keys:
            self.add(key, source.get(key))

    def add_others(self, source: Mapping[str, Any], known: Iterable[str]) -> None:
        """What a mapping holds beyond the known keys, under its own names; keys that may hold an id or a secret stay out."""
        skip = {*known, *_SECRET}
        for key, value in source.items():
            if key not in skip and value not in (None, ""):
                label = self.strings.get(f"fields.{key}", "") or sentence_case(str(key))
                self.facts.append(make_fact(label, value, fact_kind(str(key))))

    def block(self, identity: str, **parts: Any) -> Block:
        """The block, with its heading."""
        return Block(
            id=identity.replace("_", "-"),
            title=self.strings.text(f"blocks.{identity}.title"),
            intro=self.strings.text(f"blocks.{identity}.intro"),
            facts=self.facts,
            cards=parts.get("cards", []),
            figures=parts.get("figures", []),
            tables=[table for table in parts.get("tables", []) if table["rows"]],
            notes=[note for note in parts.get("notes", []) if note],
            missing=self.missing,
        )


def model_card(title: str, model: ModelRef, strings: Strings) -> Card:
    """One version with its lineage."""
    recorded = FactList(strings)
    recorded.add("name", model.label)
    for key in ("role", "method", "parent", "architecture"):
        recorded.add(key, getattr(model, key))
    recorded.add("reweight", model.reweight)
    for key in ("seed", "manifest_sha256", "run_id", "data_digest", "forget_digest"):
        recorded.add(key, getattr(model, key))
    absent = strings.text("not_recorded")
    facts = recorded.facts + [Fact(label=label, value=absent, kind="text") for label in recorded.missing]
    return Card(title=title, facts=facts)
