"""Checks of this machine: libraries, device, store, disk, folders, keys, policies, telemetry; each with advice."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from grmu_audit.errors import GrmuAuditError
from grmu_audit.evidence import key_exists, key_path, load_key
from grmu_audit.evidence.signing import SIGNING_KEY_VARIABLE, configured_signer, trusted_keys
from grmu_audit.utils.files import CACHE_VARIABLE, cache_folder

if TYPE_CHECKING:
    from grmu_audit.tracking.mlflow.probing import Place
    from grmu_audit.workflows.session import Session

State = Literal["ok", "warning", "problem"]
EXTRAS = ("registry", "train")
"""Extras that all commands together need."""
PACKAGE = "grmu-audit"
TOO_LITTLE, LITTLE = 1 << 30, 5 << 30
"""Bytes of free space below which a run fails soon, and below which it may."""
_DEVICES = (Path("/dev/nvidia0"), Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    name: str
    """What was checked."""
    state: State
    """``ok``, ``warning`` or ``problem``."""
    found: str
    """What was found."""
    do: str = ""
    """What to do; empty where all is well."""


def examine(session: Session, *, write: bool = False) -> list[Check]:
    """All checks; an exception in one is a problem of its own, and the others go on.

    Args:
        session: root options; its store is not opened.
        write: whether to try to write to the registry.
    """
    found: list[Check] = []
    place = _probe(session, write)
    steps: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("python", _python),
        ("libraries", _libraries),
        ("device", lambda: _device(session.device)),
        ("server", lambda: _server(place)),
        ("permissions", lambda: _permissions(session, place, write)),
        ("disk", lambda: _disk(session)),
        ("folders", lambda: _folders(session)),
        ("key", lambda: _key(session, place)),
        ("signing", _signing),
        ("policies", _policies),
        ("telemetry", _telemetry),
    )
    for name, step in steps:
        try:
            found += step()
        except GrmuAuditError as error:
            found.append(Check(name, "problem", str(error), "see the message"))
        except Exception as error:  # noqa: BLE001  (what is broken here is what the command is for)
            found.append(Check(name, "problem", f"{type(error).__name__}: {error}", "report this, with --debug"))
    return found


def _probe(session: Session, write: bool) -> Place:
    from grmu_audit.tracking.mlflow.probing import Place, probe

    try:
        return probe(session.tracking_uri, session.registry_uri, write=write)
    except Exception as error:  # noqa: BLE001  (as above)
        return Place("", f"{type(error).__name__}: {error}")


def _python() -> Iterator[Check]:
    here = ".".join(map(str, sys.version_info[:3]))
    known = (3, 11) <= sys.version_info[:2] <= (3, 13)
    old = sys.version_info[:2] < (3, 11)
    do = "use Python 3.11 to 3.13" if not known else ""
    yield Check("python", "problem" if old else "ok" if known else "warning", here, do)


def _libraries() -> Iterator[Check]:
    """Installed versions against the ranges that the package declares."""
    from packaging.requirements import Requirement

    try:
        own, listed = version(PACKAGE), [Requirement(text) for text in requires(PACKAGE) or ()]
    except PackageNotFoundError:
        yield Check("libraries", "warning", f"{PACKAGE} is not installed: ranges are not known", f"pip install {PACKAGE}")
        return
    counted, absent = 0, []
    for one in listed:
        extra = one.marker is not None and not one.marker.evaluate({"extra": ""})
        try:
            here = version(one.name)
        except PackageNotFoundError:
            if not extra:
                yield Check("libraries", "problem", f"{one.name} is not installed", f"pip install '{one.name}{one.specifier}'")
            elif one.marker is not None and any(one.marker.evaluate({"extra": name}) for name in EXTRAS):
                absent.append(one.name)
            continue
        counted += 1
        if not one.specifier.contains(here, prereleases=True):
            state: State = "warning" if extra else "problem"
            found = f"{one.name} {here} is not in the range {one.specifier}"
            yield Check("libraries", state, found, f"pip install '{one.name}{one.specifier}'")
    if absent:
        yield Check("libraries", "warning", f"for judging alone: without {', '.join(absent)}", f"pip install '{PACKAGE}[all]'")
    yield Check("libraries", "ok", f"{PACKAGE} {own}; {counted} libraries looked at")


def _device(wanted: str) -> Iterator[Check]:
    """The device; PyTorch is loaded only where there may be another than the CPU."""
    if wanted == "cpu" or (wanted == "auto" and not any(path.exists() for path in _DEVICES)):
        yield Check("device", "ok", f"cpu, {os.cpu_count()} cores")
        return
    import torch

    from grmu_audit.training.runtime import choose_device

    device = choose_device(wanted)
    if device.type != "cuda":
        do = "install a PyTorch build for its driver, or give --device cpu" if wanted == "auto" else ""
        found = f"{device}: a GPU is there that PyTorch cannot use" if do else str(device)
        yield Check("device", "warning" if do else "ok", found, do)
        return
    free, total = torch.cuda.mem_get_info(device)
    name = torch.cuda.get_device_name(device)
    full = free < TOO_LITTLE
    do = "end other processes on it, or use --device cpu" if full else ""
    found = f"{device} {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    yield Check("device", "warning" if full else "ok", found, do)


def _server(place: Place) -> Iterator[Check]:
    if place.problem:
        found, _, do = place.problem.partition(": ")
        yield Check("server", "problem", found, do or "start it, or correct --tracking-uri / MLFLOW_TRACKING_URI")
    elif place.empty:
        yield Check("server", "ok", f"{place.uri}: nothing is stored there yet; pretrain and register create it")
    elif not place.version:
        yield Check("server", "ok", f"{place.uri}: a database that this process opens itself")
    else:
        yield _server_version(place)


def _server_version(place: Place) -> Check:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    supported = SpecifierSet(">=3.17,<4")
    try:
        fits = supported.contains(Version(place.version), prereleases=True)
    except InvalidVersion:
        return Check("server", "warning", f"{place.uri}: MLflow {place.version}", "see whether it is an MLflow server")
    do = "" if fits else f"use an MLflow server {supported}"
    return Check("server", "ok" if fits else "warning", f"{place.uri}: MLflow {place.version}", do)


def _permissions(session: Session, place: Place, write: bool) -> Iterator[Check]:
    if place.problem or place.empty:
        yield Check("permissions", "ok", "nothing to read yet" if place.empty else "not looked at: the store does not answer")
        return
    names = session.store.models()
    if not write:
        yield Check("permissions", "ok", f"reads {len(names)} models; whether it may write is tried with --write")
    elif place.denied:
        yield Check("permissions", "problem", place.denied, "ask for EDIT permission, see docs/server.md")
    else:
        yield Check("permissions", "ok", f"reads {len(names)} models, creates and deletes one")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _disk(session: Session) -> Iterator[Check]:
    for what, folder in (("store", session.root), ("cache", cache_folder()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(_existing(folder)).free
        state: State = "problem" if free < TOO_LITTLE else "warning" if free < LITTLE else "ok"
        yield Check("disk", state, f"{what} ({folder}): {free / 2**30:.1f} GiB free", "" if state == "ok" else "free space there")


def _folders(session: Session) -> Iterator[Check]:
    for what, folder, do in (
        ("store", session.root, "run from a folder that you may write, or name a server with --tracking-uri"),
        ("cache", cache_folder(), f"set {CACHE_VARIABLE} to a folder that you may write"),
    ):
        there = _existing(folder)
        fits = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        yield Check(
            "folders", "ok" if fits else "problem", f"{what} ({folder}) {'is' if fits else 'is not'} writable", "" if fits else do
        )


def _key(session: Session, place: Place) -> Iterator[Check]:
    """The key of the pseudonyms, which is read and not created."""
    if key_exists():
        load_key()
        yield Check("key", "ok", f"{key_path()}: there, for its owner alone; keep a copy")
        return
    known = [] if place.problem or place.empty else list(session.owners_of_pseudonyms())
    if known:
        do = "put the key that they were created with there; if it is lost, see 'grmu-audit keys rotate --help'"
        yield Check("key", "problem", f"no key in {key_path()}, and {len(known)} versions have pseudonyms of one", do)
    else:
        yield Check("key", "ok", f"{key_path()}: created on first use")


def _signing() -> Iterator[Check]:
    signer, trusted = configured_signer(), trusted_keys()
    if signer is None:
        yield Check("signing", "ok", f"no key is set: verdicts are stored unsigned; {len(trusted)} public keys are trusted")
    else:
        yield Check("signing", "ok", f"{os.environ[SIGNING_KEY_VARIABLE]} signs; {len(trusted)} public keys are trusted")


def _policies() -> Iterator[Check]:
    from grmu_audit.policy.files import listed_policies

    yield Check("policies", "ok", "counted for promotion: " + ", ".join(sorted(one.name for one in listed_policies().values())))


def _telemetry() -> Iterator[Check]:
    from grmu_audit.tracking.mlflow.environment import FORCED

    yield Check(
        "telemetry", "ok", f"off: the tool sends none, and sets {', '.join(FORCED)} and GX_ANALYTICS_ENABLED=False itself"
    )
