"""A set of CelebA's size by command line, with memory of the process itself limited to 8 GiB by the system.

    python -m benchmarks.pages.full_size --folder FOLDER --write docs/performance.md

202,599 JPEGs of 178 x 218 in CelebA's layout; only ``DIFFERENT`` of them differ, the others are links to these (within a split),
so that the tree itself needs little disk.  The cache is written in full: 23.6 GB under FOLDER, removed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image

from benchmarks.pages.data import SIZE, write
from grmu_audit.data.images.decode import workers

START, END = "<!-- full size: start -->", "<!-- full size: end -->"
SPLITS = (162_770, 19_867, 19_962)
"""CelebA's training, validation and test images."""
DIFFERENT = (16_000, 2_000, 2_000)
"""Different files among them."""
LIMIT = 8 << 30
"""Bytes that the process may have of its own (RLIMIT_DATA: everything but read-only maps of files, touched or not)."""
COLUMNS = tuple(f"Attribute_{i}" for i in range(38))
NETWORK = ["--architecture-option", "widths=[8,16,32]", "--set", "epochs=1", "--set", "batch_size=256"]
PARTS = ("RssAnon", "RssFile", "VmRSS")


@dataclass
class Run:
    """What one command did."""

    seconds: float = 0.0
    """On the clock."""
    processor: float = 0.0
    """Processor seconds of all threads."""
    peak: dict[str, float] = field(default_factory=dict)
    """Largest GiB of each part of the memory, sampled five times a second."""
    lines: list[tuple[float, str]] = field(default_factory=list)
    """What it said on stderr, and after how many seconds."""

    def when(self, words: str) -> float:
        """Seconds until the first line with these words."""
        return next((at for at, line in self.lines if words in line), float("nan"))


def tree(root: Path, splits: tuple[int, ...], different: tuple[int, ...]) -> None:
    """CelebA's layout: cuts of scikit-learn's photographs, of any place, size and brightness."""
    from sklearn.datasets import load_sample_image

    photographs = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(0)
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    rows, parts, first = [], [], 1
    seen: set[bytes] = set()
    for code, (count, originals) in enumerate(zip(splits, different, strict=True)):
        for number in range(first, first + count):
            path = folder / f"{number:06d}.jpg"
            if number - first < originals:
                path.write_bytes(_new(photographs[number % 2], rng, seen))
            else:
                os.link(folder / f"{first + (number - first) % originals:06d}.jpg", path)
            labels = [(-1, 1)[int(value)] for value in rng.integers(0, 2, len(COLUMNS))]
            cells = [(-1, 1)[number % 2], (-1, 1)[number // 2 % 2], *labels]
            rows.append(f"{number:06d}.jpg " + " ".join(f"{cell:2d}" for cell in cells))
            parts.append(f"{number:06d}.jpg {code}")
        first += count
    head = f"{sum(splits)}\n{' '.join(('Blond_Hair', 'Male', *COLUMNS))} \n"
    (root / "celeba" / "list_attr_celeba.txt").write_text(head + "\n".join(rows) + "\n")
    (root / "celeba" / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


def _new(photograph: Image.Image, rng: np.random.Generator, seen: set[bytes]) -> bytes:
    """A JPEG that is not there yet (windows of plain sky can be the same)."""
    while True:
        buffer = io.BytesIO()
        _cut(photograph, rng).save(buffer, "JPEG", quality=75)
        digest = hashlib.sha256(buffer.getvalue()).digest()
        if digest not in seen:
            seen.add(digest)
            return buffer.getvalue()


def _cut(photograph: Image.Image, rng: np.random.Generator) -> Image.Image:
    """178 x 218 pixels from a random window of the same shape."""
    height = int(rng.integers(100, photograph.height + 1))
    width = min(height * SIZE[1] // SIZE[0], photograph.width)
    x, y = int(rng.integers(0, photograph.width - width + 1)), int(rng.integers(0, photograph.height - height + 1))
    small = photograph.resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR, (x, y, x + width, y + height))
    factor = rng.uniform(0.6, 1.0)
    return small.point(lambda value: min(255, value * factor))


def command(folder: Path, *words: str) -> Run:
    """One command of the tool in a process of its own, limited and watched."""
    run, start, before = Run(), time.perf_counter(), os.times()
    with subprocess.Popen(
        [sys.executable, "-m", "grmu_audit", "--device", "cpu", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "GRMU_AUDIT_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path.cwd()), "PYTHONUNBUFFERED": "1"},
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
    ) as process:
        listener = threading.Thread(target=_listen, args=(process.stderr, run, start))
        listener.start()
        while process.poll() is None:
            _sample(process.pid, run.peak)
            time.sleep(0.2)
        listener.join()
    after = os.times()
    run.seconds, run.processor = time.perf_counter() - start, after[2] + after[3] - before[2] - before[3]
    if process.returncode:
        sys.exit("".join(line for _, line in run.lines))
    return run


def _listen(stream: IO[str] | None, run: Run, start: float) -> None:
    for line in stream or ():
        run.lines.append((time.perf_counter() - start, line))
        sys.stderr.write(f"{run.lines[-1][0]:7.1f} s  {line}")


def _sample(pid: int, peak: dict[str, float]) -> None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return
    found = dict(line.split(":", 1) for line in lines)
    for part in PARTS:
        if part in found:  # a process that is ending has no memory any more
            peak[part] = max(peak.get(part, 0.0), int(found[part].split()[0]) / (1 << 20))


def page(run: Run, size: int, cache: int) -> Iterator[str]:
    """The section of the page."""
    read, decode, epoch = (run.when(words) for words in ("reading", "decoding", "epoch 1/1"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield START
    yield "## A set of CelebA's size in 8 GiB\n"
    yield (
        f"{sum(SPLITS):,} JPEGs of 178 x 218 ({' / '.join(f'{n:,}' for n in SPLITS)}) in CelebA's layout, of which "
        f"{sum(DIFFERENT):,} differ. `grmu-audit --device cpu pretrain --data celeba --data-option size={size} "
        f"{shlex.join(NETWORK)}`: cache, quality checks, one epoch, predictions of all images, registration. The system limited "
        f"the process's own memory to {LIMIT >> 30} GiB (`RLIMIT_DATA`: it counts whatever is reserved, used or not; read-only "
        "maps of files are not in it, their pages are given back when memory is short). Measured by "
        "`python -m benchmarks.pages.full_size --write docs/performance.md`.\n"
    )
    yield "| | |"
    yield "|---|---:|"
    yield f"| digests of the files, s | {decode - read:.0f} |"
    yield f"| cache build, quality checks and the epoch, s | {epoch - decode:.0f} |"
    yield f"| whole command, s | {run.seconds:.0f} |"
    yield f"| processor time, s | {run.processor:.0f} |"
    yield f"| peak of its own memory, GiB | {run.peak['RssAnon']:.2f} |"
    yield f"| peak of mapped files, GiB | {run.peak['RssFile']:.2f} |"
    yield (
        f"\nThe cache has {cache / 1e9:.1f} GB, the machine {memory / 1e9:.1f} GB of memory. Measured on {platform.machine()}, "
        f"{workers()} processors, torch {torch.__version__}, load average over 15 minutes at the end {os.getloadavg()[2]:.1f}: "
        "where it is above the number of processors, trust the memory, not the seconds."
    )
    yield END


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where 25 GB are free")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="grmu-full-", dir=chosen.folder))
    try:
        tree(folder, SPLITS, DIFFERENT)
        words = ["pretrain", "--data", "celeba", "--data-root", str(folder), "--data-option", f"size={chosen.size}", *NETWORK]
        run = command(folder, *words, "--name", "faces")
        cache = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    section = "\n".join(page(run, chosen.size, cache))
    if chosen.write:
        write(chosen.write, section)
    sys.stdout.write(section + "\n")


if __name__ == "__main__":
    main()
