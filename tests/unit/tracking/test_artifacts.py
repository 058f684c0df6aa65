"""Names of artifacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import artifacts


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a\\b", "C:/x", "a\nb", "a/\x00", "a/"])
def test_artifact_names_that_lead_outside(path: str) -> None:
    with pytest.raises(IntegrityError):
        artifacts.safe_artifact_path(path)


@pytest.mark.parametrize("number", ["'3'", "3"])
def test_the_mark_of_serving_is_no_part_of_a_version(tmp_path: Path, number: str) -> None:
    ref, folder = ModelRef("faces", "3"), tmp_path / "model"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(b"weights")
    before = artifacts.folder_digest(folder, ref.label)
    mark = folder / "registered_model_meta"
    mark.write_text(f"model_name: faces\nmodel_version: {number}\n")
    assert artifacts.folder_digest(folder, ref.label, ref) == before
    copied = artifacts.copy_checked(
        replace(ref, manifest_sha256=before), tmp_path / "got", lambda target: artifacts.copy_folder(folder, target)
    )
    assert [path.name for path in copied.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("registered_model_meta", "model_name: faces\nmodel_version: '4'\n"),
        ("registered_model_meta", "model_name: other\nmodel_version: '3'\n"),
        ("registered_model_meta", "model_name: faces\nmodel_version: '3'\nrun: x\n"),
        ("registered_model_meta", "model_name: faces\nmodel_version: '3'\n# more\n"),
        ("registered_model_meta", ""),
        ("registered_model_meta2", "model_name: faces\nmodel_version: '3'\n"),
        ("data/registered_model_meta", "model_name: faces\nmodel_version: '3'\n"),
    ],
)
def test_any_other_file_or_content_is_found(tmp_path: Path, name: str, content: str) -> None:
    ref = ModelRef("faces", "3")
    (tmp_path / "state.safetensors").write_bytes(b"weights")
    before = artifacts.folder_digest(tmp_path, ref.label, ref)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    assert artifacts.folder_digest(tmp_path, ref.label, ref) != before


def test_the_mark_of_serving_is_not_registered(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"weights")
    (tmp_path / "registered_model_meta").write_text("model_name: faces\nmodel_version: '3'\n")
    with pytest.raises(InputError, match="remove it"):
        artifacts.check_folder(tmp_path)


def test_a_file_that_looks_like_the_mark_of_serving_comes_back_with_the_version_that_has_it(tmp_path: Path) -> None:
    ref, folder = ModelRef("faces", "3"), tmp_path / "model"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(b"weights")
    (folder / "registered_model_meta").write_text("model_name: other\nmodel_version: '3'\n")
    registered = replace(ref, manifest_sha256=artifacts.folder_digest(folder, ref.label, ref))
    copied = artifacts.copy_checked(registered, tmp_path / "got", lambda target: artifacts.copy_folder(folder, target))
    assert sorted(path.name for path in copied.iterdir()) == ["registered_model_meta", "state.safetensors"]


def test_files_without_a_recorded_digest_are_not_taken(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="faces/3 carries no manifest digest: it was not registered by this tool"):
        artifacts.check_digest(ModelRef("faces", "3"), "0" * 64)


def test_only_a_small_plain_file_is_a_mark_of_serving(tmp_path: Path) -> None:
    mark = tmp_path / "registered_model_meta"
    mark.write_text("model_name: faces\nmodel_version: '3'\n")
    link, large, folder = tmp_path / "link", tmp_path / "large", tmp_path / "folder"
    link.symlink_to(mark)
    large.write_bytes(mark.read_bytes() + b"#" * 100_000)
    folder.mkdir()
    assert [artifacts.is_served_mark(path) for path in (mark, link, large, folder, tmp_path / "none")] == [True, *[False] * 4]
    for odd in ("[" * 900, "model_name: 2001-02-30\nmodel_version: 1\n"):
        mark.write_text(odd)
        assert not artifacts.is_served_mark(mark)
