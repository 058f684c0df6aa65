"""MODEL on the command line: what a user may write, and which version it means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.evidence.ledger import check_ledger
from grmu_audit.records import ModelRef
from grmu_audit.tracking.names import CHAMPION, LEDGER_SUFFIX, ROLES
from grmu_audit.tracking.store import Store
from grmu_audit.utils.plugins import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
_RESERVED_ALIAS = re.compile(r"latest|[vV][0-9]+")
_FORMS = "write name, name/3, name@alias, models:/name/3 or models:/name@alias"


@dataclass(frozen=True)
class Reference:
    """A model reference as written, not yet looked up."""

    name: str
    """Registered model name."""
    version: str | None = None
    """Version number, where given."""
    alias: str | None = None
    """Alias, where given."""


def check_name(name: str) -> str:
    """The name itself, if a model may have it.

    Letters, digits, ``.``, ``_`` and ``-``, at most 200, beginning with a letter or digit, not ending in ``--ledger``.

    Raises:
        InputError: any other name.

    >>> check_name("celeba-v3")
    'celeba-v3'
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"model name {name[:80]!r} is not allowed: use at most 200 letters, digits, '.', '_' or '-', first a letter or digit"
            f"{'; name the model without its version or alias' if re.search('[A-Za-z0-9_][/@]', name) else ''}"
        )
    if name.endswith(LEDGER_SUFFIX):
        raise InputError(f"model name {name!r} is not allowed: names ending in {LEDGER_SUFFIX!r} are promotion ledgers")
    return name


def check_alias(alias: str) -> str:
    """The alias itself, if a version may carry it.

    Raises:
        InputError: ``latest``, ``v<digits>`` or other characters than letters, digits, ``_`` and ``-``.

    >>> check_alias("champion")
    'champion'
    """
    if not _ALIAS.fullmatch(alias) or _RESERVED_ALIAS.fullmatch(alias):
        raise InputError(
            f"alias {alias[:80]!r} is not allowed: use letters, digits, '_' or '-', and neither 'latest' nor 'v<digits>'"
        )
    return alias


def check_role(role: str) -> str:
    """The role itself, if a version can have it.

    Raises:
        InputError: another word.
    """
    if role not in ROLES:
        raise InputError(f"role {role!r} is not one of {', '.join(ROLES)}")
    return role


def parse_reference(text: str) -> Reference:
    """The parts of a reference.

    Raises:
        InputError: none of the accepted forms.

    >>> parse_reference("models:/celeba-v3@champion")
    Reference(name='celeba-v3', version=None, alias='champion')
    >>> parse_reference("celeba-v3/2").version
    '2'
    """
    bare = text.removeprefix("models:/")
    if "@" in bare:
        name, alias = bare.split("@", 1)
        return Reference(check_name(name), alias=check_alias(alias))
    if "/" in bare:
        name, version = bare.split("/", 1)
        if not _VERSION.fullmatch(version):
            raise InputError(f"{text[:120]!r} names no version: {version[:40]!r} is not a version number; {_FORMS}")
        return Reference(check_name(name), version=version)
    if bare != text:
        raise InputError(f"{text[:120]!r} names no version: {_FORMS}")
    return Reference(check_name(bare))


def resolve(store: Store, text: str) -> ModelRef:
    """The one version that a reference means now; a bare name is its champion, else its newest pretrain version.

    Raises:
        InputError: not a reference.
        NotFoundError: no such model, version or alias; the message lists what exists.
        IntegrityError: the ledger knows the model, but the registry has no version of it.
    """
    wanted = parse_reference(text)
    versions = require_model(store, wanted.name)
    if wanted.version is not None:
        return _of_version(wanted.name, wanted.version, versions)
    aliases = store.aliases(wanted.name)
    if wanted.alias is not None:
        if wanted.alias not in aliases:
            known = ", ".join(f"{alias} -> {version}" for alias, version in sorted(aliases.items())) or "none"
            raise NotFoundError(f"{wanted.name} has no alias {wanted.alias!r}; it has: {known}")
        return _of_version(wanted.name, aliases[wanted.alias], versions)
    if CHAMPION in aliases:
        return _of_version(wanted.name, aliases[CHAMPION], versions)
    pretrained = [ref for ref in versions if ref.role == "pretrain"]
    if not pretrained:
        raise NotFoundError(f"{wanted.name} has neither a champion nor a pretrain version: name one of {_listed(versions)}")
    return pretrained[-1]


def lineage_root(store: Store, ref: ModelRef) -> ModelRef:
    """The version that a lineage began with.

    Raises:
        NotFoundError: a version of the lineage was deleted.
        IntegrityError: the lineage returns to itself.
    """
    versions: dict[str, list[ModelRef]] = {}
    seen = set[str]()
    while ref.role != "pretrain" and ref.parent:
        if ref.label in seen:
            raise IntegrityError(f"{ref.label} is its own ancestor by its tags: they were edited")
        seen.add(ref.label)
        wanted = parse_reference(ref.parent)
        if wanted.name not in versions:  # listed once, however long the lineage
            versions[wanted.name] = require_model(store, wanted.name)
        ref = _of_version(wanted.name, str(wanted.version), versions[wanted.name])
    return ref


def require_model(store: Store, name: str) -> list[ModelRef]:
    """The versions of a registered model, oldest first; never none, so that nobody reports on a model that is not there.

    Raises:
        InputError: no model may have that name.
        NotFoundError: there is no such model; the message names the store that was looked at, and the nearest name.
        IntegrityError: the ledger knows the model, but the registry has no version of it.
    """
    versions = store.versions(check_name(name))
    if versions:
        return versions
    stored = [(entry.number, entry.tags) for entry in store.entries(name + LEDGER_SUFFIX)]
    entries, defects = check_ledger(name, stored)
    # what is entered before a version exists names none: its registration, requests that wait, the key of these
    if defects or any(numbered.entry.version is not None for numbered in entries):
        raise IntegrityError(
            f"{name} has a ledger in {store.uri}, but its registered model, with all versions that the ledger names, was deleted "
            "from the registry: restore it from a backup"
        )
    if any(numbered.entry.kind == "request" for numbered in entries):
        raise NotFoundError(f"{name} has requests and no version yet: create one with 'grmu-audit pretrain' or 'register'")
    raise NotFoundError(_no_model(name, store))


def _of_version(name: str, version: str, versions: list[ModelRef]) -> ModelRef:
    for ref in versions:
        if ref.version == version:
            return ref
    raise NotFoundError(f"{name} has no version {version}; it has {_listed(versions)}")


def _listed(versions: list[ModelRef]) -> str:
    shown = ", ".join(f"{ref.label} ({ref.role})" for ref in versions[-10:])
    return shown if len(versions) <= 10 else f"{shown} and {len(versions) - 10} older"


def _no_model(name: str, store: Store) -> str:
    known = [other for other in store.models() if other != name]
    listed = (
        ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
        if known
        else "none yet: create one with 'grmu-audit pretrain'"
    )
    return f"no model {name!r} in {store.uri}{did_you_mean(name, known)}; registered: {listed}"
