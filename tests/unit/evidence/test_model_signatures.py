"""Signatures of model files: checked by the library's own command line, and no changed, added or removed file passes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError, NotFoundError
from grmu_audit.evidence.ledger import Ledger, check_ledger
from grmu_audit.evidence.model_signatures import (
    check_files,
    generate_model_keys,
    model_key_id,
    sign_files,
    signatures_of,
    signer_of,
)
from grmu_audit.evidence.signing import generate_keys
from grmu_audit.utils import sha256_hex


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of a version."""
    place = tmp_path / "faces-7"
    (place / "shards").mkdir(parents=True)
    (place / "model.json").write_text("{}")
    (place / "state.safetensors").write_bytes(b"weights")
    (place / "shards" / "1.safetensors").write_bytes(b"more")
    return place


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    generate_model_keys(tmp_path / "model.key", tmp_path / "model.pub")
    return tmp_path / "model.key", tmp_path / "model.pub"


def by_their_command(folder: Path, signature: Path, public: Path) -> int:
    command = [
        "-m",
        "model_signing",
        "verify",
        "key",
        "--no-ignore-git-paths",
        "--signature",
        signature,
        "--public_key",
        public,
        folder,
    ]
    return subprocess.run([sys.executable, *map(str, command)], check=False, capture_output=True).returncode


def test_what_is_signed_is_checked_by_both_and_names_the_model_and_the_key(folder: Path, keys: tuple[Path, Path]) -> None:
    signature = sign_files(folder, keys[0])
    check_files(folder, signature, keys[1])
    assert signer_of(signature) == model_key_id(keys[1])
    stored = folder.parent / "faces-7.sig"
    stored.write_bytes(signature)
    assert by_their_command(folder, stored, keys[1]) == 0
    (folder / "state.safetensors").write_bytes(b"Weights")
    assert by_their_command(folder, stored, keys[1]) == 1
    assert keys[0].read_bytes().splitlines()[1] not in signature


def test_what_their_command_signs_is_checked_by_ours(folder: Path, keys: tuple[Path, Path]) -> None:
    stored = folder.parent / "theirs.sig"
    command = [
        "-m",
        "model_signing",
        "sign",
        "key",
        "--no-ignore-git-paths",
        "--private_key",
        keys[0],
        "--signature",
        stored,
        folder,
    ]
    assert subprocess.run([sys.executable, *map(str, command)], check=False, capture_output=True).returncode == 0
    check_files(folder, stored.read_bytes(), keys[1])


@pytest.mark.parametrize("added", [".gitignore", ".git/hooks", "notes.txt"])
def test_what_a_signature_says_that_it_leaves_out_counts_all_the_same(added: str, folder: Path, keys: tuple[Path, Path]) -> None:
    from model_signing import hashing, signing

    config = hashing.Config().set_ignored_paths(paths=["notes.txt"], ignore_git_paths=True)  # as the library does by default
    stored = folder.parent / "theirs.sig"
    signing.Config().set_hashing_config(config).use_elliptic_key_signer(private_key=keys[0]).sign(folder, stored)
    check_files(folder, stored.read_bytes(), keys[1])
    (folder / added).parent.mkdir(exist_ok=True)
    (folder / added).write_text("added")
    with pytest.raises(IntegrityError, match=f"{added} is there, and was not signed"):
        check_files(folder, stored.read_bytes(), keys[1])


def test_a_folder_with_a_link_is_not_signed(folder: Path, keys: tuple[Path, Path]) -> None:
    (folder / "link").symlink_to(folder.parent)
    with pytest.raises(InputError, match="holds a link, link"):
        sign_files(folder, keys[0])


def test_a_signature_of_parts_of_files_is_refused(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    from model_signing import hashing, signing

    config = hashing.Config().use_shard_serialization().set_ignored_paths(paths=[], ignore_git_paths=False)
    signer = signing.Config().set_hashing_config(config).use_elliptic_key_signer(private_key=keys[0])
    place, stored = tmp_path / "parts", tmp_path / "parts.sig"
    place.mkdir()
    signer.sign(place, stored)
    with pytest.raises(IntegrityError, match="the signature names parts of files: sign the files as a whole"):
        check_files(place, stored.read_bytes(), keys[1])
    (place / "model.json").write_text("{}")
    signer.sign(place, stored)
    with pytest.raises(IntegrityError, match=r"Missing files in model 'parts': model\.json:0:2"):
        check_files(place, stored.read_bytes(), keys[1])


def change(folder: Path) -> None:
    (folder / "shards" / "1.safetensors").write_bytes(b"Less")


def add(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def add_what_git_reads(folder: Path) -> None:
    (folder / ".gitattributes").write_text("")


def remove(folder: Path) -> None:
    (folder / "model.json").unlink()


def rename(folder: Path) -> None:
    (folder / "model.json").rename(folder / "Model.json")


def link(folder: Path) -> None:
    (folder / "model.json").rename(folder.parent / "elsewhere.json")
    (folder / "model.json").symlink_to(folder.parent / "elsewhere.json")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (change, "Hash mismatch for 'shards/1.safetensors'"),
        (add, "Extra files found in model 'faces-7': tokenizer.json"),
        (add_what_git_reads, r"Extra files found in model 'faces-7': \.gitattributes"),
        (remove, "Missing files in model 'faces-7': model.json"),
        (rename, r"Extra files .* Model\.json"),
        (link, "symlink"),
    ],
)
def test_other_files_are_refused_and_named(
    folder: Path, keys: tuple[Path, Path], edit: Callable[[Path], None], words: str
) -> None:
    signature = sign_files(folder, keys[0])
    edit(folder)
    with pytest.raises(IntegrityError, match=words):
        check_files(folder, signature, keys[1])


def test_another_key_and_a_changed_signature_are_refused(folder: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    signature = sign_files(folder, keys[0])
    generate_model_keys(tmp_path / "other.key", tmp_path / "other.pub")
    with pytest.raises(IntegrityError, match=r"other\.pub did not sign these files: key "):
        check_files(folder, signature, tmp_path / "other.pub")
    tree = json.loads(signature)
    tree["verificationMaterial"]["publicKey"]["hint"] = model_key_id(tmp_path / "other.pub")
    with pytest.raises(IntegrityError, match=r"not those that were signed: the signature does not fit \(InvalidSignature\)"):
        check_files(folder, json.dumps(tree).encode(), tmp_path / "other.pub")
    other = json.loads(sign_files(folder.parent / "faces-7" / "shards", keys[0]))
    tree = {
        **json.loads(signature),
        "dsseEnvelope": other["dsseEnvelope"] | {"signatures": json.loads(signature)["dsseEnvelope"]["signatures"]},
    }
    with pytest.raises(IntegrityError, match="does not fit"):
        check_files(folder, json.dumps(tree).encode(), keys[1])


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"verificationMaterial": {"publicKey": {"hint": 3}}}', b"\xff" * 100])
def test_what_is_no_signature_is_refused(folder: Path, keys: tuple[Path, Path], content: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read, or names no key"):
        check_files(folder, content, keys[1])


def test_keys_of_another_kind_are_refused(folder: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    generate_keys(tmp_path / "ci.key", tmp_path / "ci.pub")
    with pytest.raises(InputError, match=r"ci\.key is not an EC private key .*keys generate --kind model"):
        sign_files(folder, tmp_path / "ci.key")
    with pytest.raises(InputError, match=r"ci\.pub is not an EC public key"):
        model_key_id(tmp_path / "ci.pub")
    with pytest.raises(InputError, match=r"model\.key cannot be read as a public key in PEM"):
        model_key_id(keys[0])
    with pytest.raises(NotFoundError, match="no private key file"):
        sign_files(folder, tmp_path / "none.key")
    with pytest.raises(NotFoundError, match="no public key file"):
        model_key_id(tmp_path / "none.pub")
    with pytest.raises(InputError, match="exists: a key is never overwritten"):
        generate_model_keys(*keys)
    keys[0].chmod(0o644)
    with pytest.raises(EnvironmentFailure, match="open to others than its owner"):
        sign_files(folder, keys[0])


def test_a_key_with_a_passphrase_needs_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = tmp_path / "locked.key", tmp_path / "locked.pub"
    generate_model_keys(private, public, "secret")
    for given, words in ((None, "has a passphrase: set"), ("wrong", "wrong passphrase"), ("secret", "")):
        monkeypatch.setenv("GRMU_AUDIT_SIGNING_PASSPHRASE", given or "")
        if words:
            with pytest.raises(InputError, match=words):
                sign_files(folder, private)
        else:
            check_files(folder, sign_files(folder, private), public)
    generate_model_keys(tmp_path / "plain.key", tmp_path / "plain.pub")
    with pytest.raises(InputError, match="has no passphrase: unset"):
        sign_files(folder, tmp_path / "plain.key")


def test_without_the_library_one_error_says_how_to_install_it(
    folder: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(EnvironmentFailure, match=r"need model-signing: run pip install 'grmu-audit\[signing\]'"):
        sign_files(folder, keys[0])


def test_nothing_is_left_behind_in_the_temporary_folder(
    folder: Path, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    check_files(folder, sign_files(folder, keys[0]), keys[1])
    assert list(place.iterdir()) == []


def test_the_newest_signature_of_each_key_counts(folder: Path, keys: tuple[Path, Path]) -> None:
    ledger = Ledger("faces", ())
    signatures = [sign_files(folder, keys[0]).decode() for _ in range(2)]
    for number, text in enumerate(signatures):
        entry = ledger.new_entry("signature", version="7", envelope=text, record_sha256=sha256_hex(text.encode()))
        stored = [(n.number, n.entry.to_tags()) for n in ledger.entries] + [(number + 1, entry.to_tags())]
        entries, defects = check_ledger("faces", stored)
        assert defects == []
        ledger = Ledger("faces", entries)
    assert [entry.envelope for entry in signatures_of(ledger, "7").values()] == [signatures[1]]
    assert signatures_of(ledger, "6") == {}
    wrong = ledger.new_entry("signature", version="8", envelope=signatures[0], record_sha256="0" * 64)
    entries, _ = check_ledger("faces", [*((n.number, n.entry.to_tags()) for n in ledger.entries), (3, wrong.to_tags())])
    with pytest.raises(IntegrityError, match="does not fit the signature in it"):
        signatures_of(Ledger("faces", entries), "8")
