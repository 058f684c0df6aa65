"""Inputs on a device, by their kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.tiny import CPU, dataset

from grmu_audit.data.inputs import device_inputs
from grmu_audit.errors import InputError


def test_inputs_of_a_kind_that_nothing_serves_are_refused() -> None:
    found = dataset()
    other = replace(found, header=replace(found.header, kind="sound"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="dataset 'photodigits' is of kind 'sound'; known: image, table, text"):
        device_inputs(other, CPU)
