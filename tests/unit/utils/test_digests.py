"""Canonical JSON, digests, folder manifests."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.utils import canonical_json, folder_manifest, manifest_sha256, parse_json, sha256_file, sha256_hex

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT

TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)


@given(TREES)
def test_canonical_json_reads_back_to_the_same_tree(tree):
    content = canonical_json(tree)
    assert content.endswith(b"\n")
    assert json.loads(content) == tree
    assert canonical_json(json.loads(content)) == content


@given(st.dictionaries(TEXT, LEAVES, max_size=6))
def test_canonical_json_does_not_depend_on_the_order_of_keys(tree):
    assert canonical_json(dict(reversed(tree.items()))) == canonical_json(tree)


def test_canonical_json_has_no_spaces_and_keeps_utf8():
    assert canonical_json({"b": (1, 2), "a": {"é": 1e-7}}) == '{"a":{"é":1e-07},"b":[1,2]}\n'.encode()


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"a": [0, math.nan]}, "$.a[1] is nan"),
        ({"a": {"b": math.inf}}, "$.a.b is inf"),
        ([-math.inf], "$[0] is -inf"),
        ({1: 2}, "$ has the key 1 of type int"),
        ({"a": {1, 2}}, "$.a is of type set"),
        ({"a": b"x"}, "$.a is of type bytes"),
        ({"a": Path("x")}, "$.a is of type"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
    ],
)
def test_canonical_json_names_the_path_of_what_it_refuses(tree, path):
    with pytest.raises(InputError) as caught:
        canonical_json(tree)
    assert path in str(caught.value)


def test_canonical_json_names_all_defects_at_once_and_refuses_loops():
    with pytest.raises(InputError, match=r"\$\.a is nan.*\$\.b is inf"):
        canonical_json({"a": math.nan, "b": math.inf})
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InputError, match="holds itself"):
        canonical_json(loop)


def test_sha256_of_bytes_and_of_a_file_larger_than_a_chunk(tmp_path):
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "f").write_bytes(content)
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_file(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_sha256_of_a_missing_file_or_a_folder_is_an_input_error(tmp_path):
    with pytest.raises(NotFoundError, match="no file"):
        sha256_file(tmp_path / "none")
    with pytest.raises(InputError, match="cannot read"):
        sha256_file(tmp_path)


def test_folder_manifest_lists_every_file_by_posix_path(tmp_path):
    (tmp_path / "b" / "empty").mkdir(parents=True)
    (tmp_path / "b" / "x.txt").write_bytes(b"abc")
    (tmp_path / "a.txt").write_bytes(b"")
    found = folder_manifest(tmp_path)
    assert list(found) == ["a.txt", "b/x.txt"]
    assert found["b/x.txt"] == {"size": 3, "sha256": sha256_hex(b"abc")}


def test_manifest_digest_follows_content_and_name_and_not_order(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    first = folder_manifest(tmp_path)
    digest = manifest_sha256(first)
    assert manifest_sha256(dict(reversed(first.items()))) == digest
    (tmp_path / "b").write_bytes(b"3")
    assert manifest_sha256(folder_manifest(tmp_path)) != digest
    (tmp_path / "b").write_bytes(b"2")
    assert manifest_sha256(folder_manifest(tmp_path)) == digest
    (tmp_path / "b").rename(tmp_path / "c")
    assert manifest_sha256(folder_manifest(tmp_path)) != digest


def test_folder_manifest_refuses_links_pipes_and_odd_names(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    for number, make in enumerate(
        (
            lambda at: at.symlink_to(outside / "secret"),
            lambda at: at.symlink_to(outside, target_is_directory=True),
            lambda at: at.symlink_to(tmp_path / "nowhere"),
            os.mkfifo,
            lambda at: Path(os.fsdecode(os.fsencode(at) + b"\xff")).write_text("x"),
        )
    ):
        folder = tmp_path / f"case{number}"
        folder.mkdir()
        make(folder / "odd")
        with pytest.raises(IntegrityError, match="odd"):
            folder_manifest(folder)


def test_folder_manifest_needs_a_real_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for path in (tmp_path / "none", tmp_path / "link"):
        with pytest.raises(NotFoundError, match="no folder"):
            folder_manifest(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1e999}', "1e999 is out of range"),
        ('{"a": ' + "9" * 400 + "}", "9999 is out of range"),
        ('{"a": 9223372036854775808}', "out of range"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": "' + "x" * 100 + '"}', "more than the 99"),
        (b"\xff{}", "utf-8"),
        ("{", "Expecting"),
    ],
)
def test_a_document_with_numbers_that_none_has_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text if isinstance(text, bytes) else text.encode(), 99 if "xxx" in str(text) else 1 << 20)


def test_a_document_reads_as_it_was_written():
    tree = {"a": [1, -(2**63), 0.1, None, True], "b": {"c": "é"}}
    assert parse_json(canonical_json(tree)) == tree
