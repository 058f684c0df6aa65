"""The operator's key, pseudonyms and set digests."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.evidence import KEY_FILE_VARIABLE, key_path, load_key, noise_secret, pseudonym, pseudonyms, set_digest
from grmu_audit.evidence.pseudonyms import next_key

KEYS = st.binary(min_size=32, max_size=32)
IDS = st.lists(st.text(max_size=6), max_size=8)


@pytest.fixture
def key_file(tmp_path, monkeypatch):
    path = tmp_path / "keys" / "hmac.key"
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(path))
    return path


@given(KEYS, st.text(max_size=20))
def test_a_pseudonym_is_the_hmac_of_the_text_in_its_own_domain(key, text):
    message = b"grmu-audit/pseudonym/v1\0" + text.encode("utf-8", "surrogatepass")
    assert pseudonym(key, text) == hmac.digest(key, message, hashlib.sha256).hex()[:32]


@given(KEYS, IDS)
def test_pseudonyms_preserve_order_and_distinguish_ids(key, ids):
    made = pseudonyms(key, ids)
    assert made == [pseudonym(key, text) for text in ids]
    assert len(set(made)) == len(set(ids))


@given(KEYS, IDS, IDS)
def test_set_digests_are_equal_exactly_for_equal_sets(key, left, right):
    assert (set_digest(key, left) == set_digest(key, right)) == (set(left) == set(right))
    assert set_digest(key, left) == set_digest(key, reversed(left + left))


@given(KEYS, KEYS, st.text(max_size=6))
def test_other_keys_give_other_names(left, right, text):
    assert (pseudonym(left, text) == pseudonym(right, text)) == (left == right)
    assert (set_digest(left, [text]) == set_digest(right, [text])) == (left == right)


def test_set_digest_separates_ids_and_domains():
    key = bytes(range(32))
    assert set_digest(key, ["ab", "c"]) != set_digest(key, ["a", "bc"])
    assert set_digest(key, [""]) != set_digest(key, [])
    assert set_digest(key, ["a"]).startswith("hmac-sha256:")
    assert pseudonym(key, "a") not in set_digest(key, ["a"])


def test_default_paths(monkeypatch, tmp_path):
    monkeypatch.delenv(KEY_FILE_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert key_path() == tmp_path / "xdg" / "grmu-audit" / "hmac.key"
    for useless in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", useless)
        assert key_path() == tmp_path / ".config" / "grmu-audit" / "hmac.key"


def test_the_key_is_created_once_and_private(key_file):
    key = load_key()
    assert len(key) == 32
    assert load_key() == key == bytes.fromhex(key_file.read_text().strip())
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [p.name for p in key_file.parent.iterdir()] == ["hmac.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_key_open_to_others_is_refused(key_file, mode):
    load_key()
    key_file.chmod(mode)
    with pytest.raises(EnvironmentFailure, match=f"{mode:04o}.*chmod 600"):
        load_key()


@pytest.mark.parametrize(
    "content", [b"", b"xyz", b"0" * 63, b"0" * 65, b"g" * 64, b"0" * 64 + b"\nmore", bytes(range(128, 160)), b"\0" * 64]
)
def test_a_malformed_key_is_refused_and_not_replaced(key_file, content):
    key_file.parent.mkdir()
    key_file.write_bytes(content)
    key_file.chmod(0o600)
    with pytest.raises(EnvironmentFailure, match="64 hex digits"):
        load_key()
    assert key_file.read_bytes() == content


def test_the_message_about_a_bad_key_does_not_show_it(key_file):
    key_file.parent.mkdir()
    key_file.write_text("abcdef0123456789" * 3)
    key_file.chmod(0o600)
    with pytest.raises(EnvironmentFailure) as caught:
        load_key()
    assert "abcdef" not in str(caught.value)


def test_a_key_path_that_is_no_file_or_cannot_be_made(monkeypatch, tmp_path):
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path))
    with pytest.raises(EnvironmentFailure, match="plain file"):
        load_key()
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "file" / "key"))
    with pytest.raises(EnvironmentFailure, match="key file"):
        load_key()


def test_a_key_that_is_a_link_to_nothing_is_named(key_file):
    key_file.parent.mkdir()
    for path, load in ((key_file, load_key), (key_file.with_name(key_file.name + ".new"), next_key)):
        path.symlink_to("not-mounted/hmac.key")
        with pytest.raises(EnvironmentFailure, match="is a link to a file that does not exist"):
            load()
        assert path.is_symlink()


def test_processes_that_start_together_agree_on_one_key(key_file):
    code = "import sys; sys.stdin.readline(); from grmu_audit.evidence import load_key; print(load_key().hex())"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    pipe = subprocess.PIPE
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(4)
    ]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    keys = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert keys == {load_key().hex()}


def test_the_secret_of_noise_depends_on_key_name_and_data():
    key = bytes(range(32))
    cases = [(key, "faces", "0a"), (bytes(32), "faces", "0a"), (key, "digits", "0a"), (key, "faces", "0b"), (key, "faces0", "a")]
    assert len({noise_secret(*case) for case in cases}) == len(cases)
    assert len(noise_secret(*cases[0])) == 64
