"""How versions are named on the command line."""

from __future__ import annotations

import pytest

from grmu_audit.errors import InputError
from grmu_audit.tracking.references import Reference, check_alias, parse_reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("celeba-v3", Reference("celeba-v3")),
        ("celeba-v3/12", Reference("celeba-v3", version="12")),
        ("celeba-v3@champion", Reference("celeba-v3", alias="champion")),
        ("models:/celeba-v3/12", Reference("celeba-v3", version="12")),
        ("models:/celeba-v3@gold", Reference("celeba-v3", alias="gold")),
    ],
)
def test_the_forms_of_a_reference(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text", ["", "a/0", "a/01", "a/x", "a/latest", "models:/a", "models:/a/latest", "a@", "a@v3", "a/1@b", "../a", "a//1"]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InputError):
        parse_reference(text)


@pytest.mark.parametrize("alias", ["latest", "v3", "V12", "", "a b", "a/b", "<b>"])
def test_aliases_that_the_registry_reserves_or_refuses(alias: str) -> None:
    with pytest.raises(InputError):
        check_alias(alias)
