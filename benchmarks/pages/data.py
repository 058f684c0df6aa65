"""Decoding once against decoding every epoch: the cache and its batches beside a faithful reference loop, in one run.

    python -m benchmarks.pages.data --write docs/performance.md

The reference is the input pipeline of the papers' code: Pillow, torchvision transforms, a DataLoader with two workers, batch 32,
created again for each pass.  Both sides read the same files; no network is run on either side.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.images.decode import workers

START, END = "<!-- data pipeline: start -->", "<!-- data pipeline: end -->"
BATCH, WORKERS = 32, 2
SIZE = (218, 178)
MEAN = STD = [0.5, 0.5, 0.5]


@dataclass(frozen=True)
class Spent:
    """What one pass took."""

    wall: float
    """Seconds on the clock."""
    processor: float
    """Processor seconds of this process and its workers."""


def timed(work: Callable[[], None]) -> Spent:
    """Run once; workers have ended by then, so that their time counts."""
    wall, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return Spent(time.perf_counter() - wall, sum(after[:4]) - sum(before[:4]))


def median(passes: list[Spent]) -> Spent:
    return Spent(statistics.median(p.wall for p in passes), statistics.median(p.processor for p in passes))


class Files(TorchDataset[tuple[torch.Tensor, int]]):
    """Decode and transform on each access, as the reference does."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.paths[index]).convert("RGB")), index


def tree(root: Path, count: int) -> None:
    """CelebA's layout with real JPEGs of its size, cut from scikit-learn's photographs."""
    from sklearn.datasets import load_sample_image

    photographs = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(0)
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    rows, parts = [], []
    for number in range(1, count + 1):
        image = photographs[number % 2]
        x, y = int(rng.integers(0, image.width - SIZE[1] + 1)), int(rng.integers(0, image.height - SIZE[0] + 1))
        image.crop((x, y, x + SIZE[1], y + SIZE[0])).save(folder / f"{number:06d}.jpg", quality=90)
        rows.append(f"{number:06d}.jpg {(-1, 1)[number % 2]} {(-1, 1)[number // 2 % 2]}")
        parts.append(f"{number:06d}.jpg {0 if number <= 0.8 * count else 1 if number <= 0.9 * count else 2}")
    (root / "celeba" / "list_attr_celeba.txt").write_text(f"{count}\nBlond_Hair Male\n" + "\n".join(rows) + "\n")
    (root / "celeba" / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


def reference(paths: list[Path], train: bool) -> None:
    """One pass of the reference."""
    from torchvision import transforms as T

    geometry = [T.RandomResizedCrop(224), T.RandomHorizontalFlip()] if train else [T.Resize((224, 224))]
    chain = T.Compose([*geometry, T.ToTensor(), T.Normalize(MEAN, STD)])
    loader: DataLoader[Any] = DataLoader(Files(paths, chain), batch_size=BATCH, shuffle=train, num_workers=WORKERS)
    for pixels, _ in loader:
        float(pixels[0, 0, 0, 0])


def ours(dataset: Dataset, train: bool) -> None:
    """One pass over the cache, normalised as a network does it."""
    source = BatchSource(dataset, torch.device("cpu"))
    rows = np.arange(len(dataset), dtype=np.int64)
    generator = torch.Generator().manual_seed(0) if train else None
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    for batch in source.batches(rows, BATCH, generator, augment=train):
        float(((batch.pixels - mean) / std)[0, 0, 0, 0])


def memory() -> dict[str, float]:
    """Memory of this process in MiB: its own, that of mapped files, and the most of both that there was."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "VmHWM")}


def measure(count: int, rounds: int) -> dict[str, Any]:
    """Everything in one run: rounds interleaved, so that other load on the machine meets both sides."""
    with tempfile.TemporaryDirectory(prefix="grmu-bench-") as text:
        root = Path(text)
        os.environ["GRMU_AUDIT_CACHE"] = str(root / "cache")
        tree(root, count)
        spec = DataSpec("celeba", {"root": str(root)})
        before = memory()
        builds = []
        for _ in range(rounds):
            shutil.rmtree(root / "cache", ignore_errors=True)
            builds.append(timed(lambda: void(load_dataset(spec))))
        dataset = load_dataset(spec)
        again = timed(lambda: void(load_dataset(spec)))
        paths = sorted((root / "celeba" / "img_align_celeba").iterdir())
        sides: dict[tuple[str, bool], list[Spent]] = {}
        for _ in range(rounds):
            for train in (True, False):
                sides.setdefault(("cache", train), []).append(timed(partial(ours, dataset, train)))
                sides.setdefault(("reference", train), []).append(timed(partial(reference, paths, train)))
        after = memory()
        size = sum(path.stat().st_size for path in (root / "cache").rglob("*") if path.is_file())
    return {
        "count": count, "build": median(builds), "again": again, "sides": {key: median(p) for key, p in sides.items()},
        "before": before, "after": after, "size": size, "rounds": rounds, "load": os.getloadavg()[1],
    }  # fmt: skip


def void(_: object) -> None:
    """Drop a result."""


def row(words: str, theirs: Spent, mine: Spent) -> str:
    """A line of the table: clock and processor seconds of both sides, and the two ratios."""
    cells = [f"{theirs.wall:.1f}", f"{mine.wall:.1f}", f"{theirs.wall / mine.wall:.1f} x"]
    cells += [f"{theirs.processor:.1f}", f"{mine.processor:.1f}", f"{theirs.processor / mine.processor:.1f} x"]
    return f"| {words} | " + " | ".join(cells) + " |"


def plus(build: Spent, one: Spent, times: int) -> Spent:
    return Spent(build.wall + times * one.wall, build.processor + times * one.processor)


def table(found: dict[str, Any]) -> Iterator[str]:
    """Seconds and ratios."""
    build, sides, zero = found["build"], found["sides"], Spent(0, 0)
    yield "| | reference, s | cache, s | ratio | reference, processor s | cache, processor s | ratio |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    yield f"| cache build, once | | {build.wall:.1f} | | | {build.processor:.1f} | |"
    yield row("training epoch (random resized crop, flip)", sides["reference", True], sides["cache", True])
    yield row("evaluation pass (resize to 224)", sides["reference", False], sides["cache", False])
    for words, times in (("build and one training epoch", 1), ("build and ten training epochs", 10)):
        yield row(words, plus(zero, sides["reference", True], times), plus(build, sides["cache", True], times))


def page(found: dict[str, Any]) -> Iterator[str]:
    """The section of the page."""
    count, before, after = found["count"], found["before"], found["after"]
    yield START
    yield "## Data pipeline\n"
    yield (
        f"{count:,} JPEGs of CelebA's size (178 x 218) in CelebA's layout, inputs of 224 x 224, batches of {BATCH}, no network "
        f"on either side. Reference: Pillow, torchvision transforms, DataLoader with {WORKERS} workers, created again for each "
        f"pass. Medians of {found['rounds']} interleaved rounds in one run of "
        "`python -m benchmarks.pages.data --write docs/performance.md`; processor seconds count all threads and workers.\n"
    )
    yield from table(found)
    yield (
        f"\nOpening the finished cache again takes {found['again'].wall:.2f} s, without decoding. On disk it has "
        f"{found['size'] / 1e6:,.0f} MB ({found['size'] / count / 1e3:.0f} kB an image; CelebA's 202,599 images: "
        f"{202_599 * found['size'] / count / 1e9:.1f} GB).\n"
    )
    yield (
        f"Memory of the process: {before['RssAnon']:.0f} MiB before (interpreter and PyTorch), "
        f"{after['RssAnon'] - before['RssAnon']:.0f} MiB more of its own after all passes; {after['RssFile']:.0f} MiB of mapped "
        f"files, which the system takes back when it needs them; peak of everything together {after['VmHWM']:.0f} MiB. The "
        f"reference's {WORKERS} workers are processes of their own and not in these numbers.\n"
    )
    busy = found["load"] > workers() + 0.5
    shared = "Other work ran on the machine at the same time: trust the ratios of processor time, not the rates. " if busy else ""
    yield (
        f"{shared}Measured on {platform.machine()}, {workers()} processors, torch {torch.__version__}, "
        f"{torch.get_num_threads()} thread(s) inside an operation; load average over 5 minutes at the end {found['load']:.1f}."
    )
    yield END


def write(path: Path, section: str) -> None:
    """Put the section into the page, in the place of the last one; its first and last line are its marks."""
    start, *_, end = section.splitlines()
    text = (
        path.read_text() if path.exists() else "# Performance\n\nGenerated by the scripts in `benchmarks/`; ratios in one run.\n"
    )
    if start in text:
        text = text[: text.index(start)] + section + text[text.index(end) + len(end) :]
    else:
        text = text.rstrip() + "\n\n" + section + "\n"
    path.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    section = "\n".join(page(measure(chosen.count, chosen.rounds)))
    if chosen.write:
        write(chosen.write, section)
    sys.stdout.write(section + "\n")


if __name__ == "__main__":
    main()
