"""The YAML loader: every error at once, with its line."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Optional

import pytest
import yaml
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field

from grmu_audit.errors import InputError, PolicyError
from grmu_audit.utils import load_yaml
from grmu_audit.utils.yaml_files import load_bounded, read_mapping


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    size: int
    day: date | None = None


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: str
    items: list[Inner] = Field(default_factory=list)
    rate: float = 0.5
    best: Inner | None = None
    worst: Optional[Inner] = None  # noqa: UP045  (as configurations of third parties may be written)


def read(tmp_path: Path, text: str, **options) -> Outer:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return load_yaml(path, Outer, **options)


def test_a_valid_file_becomes_a_frozen_model(tmp_path):
    made = read(tmp_path, "name: x\nrate: 1\nitems:\n  - size: 3\n    day: 2027-01-31\n")
    assert made == Outer(name="x", rate=1.0, items=[Inner(size=3, day=date(2027, 1, 31))])


def test_every_error_is_listed_with_line_and_key(tmp_path):
    text = "nam: x\nrate: fast\nitems:\n  - size: 3\n    sise: 4\n  - day: 2027-02-30\n  - size: 1\n    size: 2\n"
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, text, error=PolicyError)
    lines = str(caught.value).replace(str(tmp_path / "file.yaml"), "F").splitlines()
    assert sorted(tuple(line.split(": ")[:2]) for line in lines) == [
        ("F:1", "nam"), ("F:1", "name"), ("F:2", "rate"), ("F:5", "items[0].sise"), ("F:6", "items[1].day"),
        ("F:6", "items[1].size"), ("F:8", "items[2].size"),
    ]  # fmt: skip
    assert "did you mean 'name'?" in str(caught.value)
    assert "did you mean 'size'?" in str(caught.value)
    assert "written twice (first in line 7)" in str(caught.value)
    assert "valid number (found 'fast')" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the file is empty"),
        ("a: &x 1\nb: *x\n", ":1: anchors and aliases are not allowed"),
        ("name: [1, 2\n", "not valid YAML"),
        ("name: !!python/object:os.system x\n", "the tag tag:yaml.org,2002:python/object:os.system is not allowed"),
        ("? [a, b]\n: 1\n", "a key must be a plain word"),
        ("[" * 900, "nested more than 50 levels deep"),
        ("[" * 100_000, "nest"),  # PyYAML 6.0.4 stops at 1,000 levels itself
        ("a: " + "{b: " * 50 + "1" + "}" * 50 + "\n", ":1: nested more than 50 levels deep"),
        ("a: 1\nb: [c, &x d]\n", ":2: anchors and aliases are not allowed"),
        ("a: [*x]\n", ":1: anchors and aliases are not allowed"),
        ("name: x\n---\nname: y\n", "not valid YAML"),
        ("- 1\n", "valid dictionary"),
        ("name: '" + "x" * 1_000_001 + "'\n", "it has more than the 1,000,000 bytes"),
    ],
)
def test_odd_files_are_refused(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "file.yaml" in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_yaml(tmp_path / "none.yaml", Outer)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_yaml(tmp_path / "b.yaml", Outer)


def test_merged_mappings_do_not_grow_as_a_power(tmp_path):
    lines = ["a0: &a0 {k: v}"] + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    if Version(yaml.__version__) >= Version("6.0.4"):  # which merges each key once
        assert read_mapping(tmp_path / "bomb.yaml", "file", "")["a11"] == {"k": "v"}
        return
    with pytest.raises(InputError, match="merged mappings add up to more than 100,000 keys"):
        read_mapping(tmp_path / "bomb.yaml", "file", "")


def test_a_mapping_that_is_merged_into_many_is_refused(tmp_path):
    keys = ", ".join(f"k{i}: 1" for i in range(400))
    lines = [f"a: &a {{{keys}}}"] + [f"b{i}: {{<<: *a}}" for i in range(300)]
    (tmp_path / "wide.yaml").write_text("\n".join(lines[:200]))
    assert len(read_mapping(tmp_path / "wide.yaml", "file", "")["b198"]) == 400
    (tmp_path / "wide.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match="merged mappings add up to more than 100,000 keys"):
        read_mapping(tmp_path / "wide.yaml", "file", "")


@pytest.mark.parametrize("key", ["best", "worst"])
def test_an_unknown_key_of_an_optional_part_names_the_keys_of_that_part(tmp_path, key):
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"name: x\n{key}:\n  size: 3\n  dai: 2027-01-31\n")
    place = tmp_path / "file.yaml"
    assert str(caught.value) == f"{place}:4: {key}.dai: unknown key (did you mean 'day'?); known: size, day"


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ("{a: ", "}")])
def test_plain_values_nested_too_deep_are_refused_before_they_are_built(opened, closed, tmp_path):
    deepest, deeper = ("a: " + opened * depth + "1" + closed * depth + "\n" for depth in (199, 200))
    assert list(load_bounded(deepest, "deep.yaml")) == ["a"]
    with pytest.raises(RecursionError, match="nested more than 200 levels deep"):
        load_bounded(deeper, "deep.yaml")
    (tmp_path / "deep.yaml").write_text(deeper)
    with pytest.raises(InputError, match=r"deep\.yaml: not a readable file: nested more than 200 levels deep"):
        read_mapping(tmp_path / "deep.yaml", "file", "")
