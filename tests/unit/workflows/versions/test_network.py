"""Where a network's weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.notes import Notes
from support.tiny import spec

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import StartWeights
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.network import NetworkChoice, network_facts, note_changes, start_file

START = StartWeights({}, "d" * 64, "start.safetensors", ("head left out", "fc renamed"))


def test_a_network_starts_from_one_file() -> None:
    assert start_file(NetworkChoice("small_resnet")) is None
    assert start_file(NetworkChoice("small_resnet", weights=Path("w.safetensors"))) == Path("w.safetensors")
    with pytest.raises(InputError, match="--weights and --pretrained exclude each other"):
        start_file(NetworkChoice("resnet18", weights=Path("w.safetensors"), pretrained="imagenet"))


def test_what_was_left_out_of_start_weights_is_noted_and_recorded() -> None:
    notes = Notes()
    note_changes(Session(observer=notes), START)
    assert notes.lines == ["start.safetensors: head left out", "start.safetensors: fc renamed"]
    record = {"source": "start.safetensors", "sha256": "d" * 64, "notes": ["head left out", "fc renamed"]}
    assert network_facts(spec(), START) == {"architecture_options": {"widths": [6, 12]}, "start": record}
    assert network_facts(spec(), None) == {"architecture_options": {"widths": [6, 12]}}
