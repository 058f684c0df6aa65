"""Real files to start from, each written by the project itself: one small model that was unlearned, audited and exported.

``python -m benchmarks.measurements.fuzz.seeds FOLDER`` writes them; a process of its own, since it loads torch and MLflow.
"""

from __future__ import annotations

import sys
from pathlib import Path

LISTS, POLICIES, TABLES = "forget_list", "policy", "predictions"
AUDITS, SPECS, MANIFESTS = "audit.json", "model.json", "manifest"
PARQUET, BUNDLES = "parquet", "bundle"
KINDS = (LISTS, POLICIES, TABLES, AUDITS, SPECS, MANIFESTS, PARQUET, BUNDLES)
"""Kinds of files."""
_ROWS = 60
_PEOPLE = """person,sex,age,job,outcome
{rows}"""


def read_seeds(folder: Path, kind: str) -> list[bytes]:
    """The files of a kind, in the order of their names."""
    return [path.read_bytes() for path in sorted((folder / kind).iterdir())]


def seeds_there(folder: Path) -> bool:
    """Whether every kind has its files."""
    return (folder / "complete").is_file()


def write_seeds(folder: Path) -> None:
    """Make and write all of them."""
    from grmu_audit.workflows.session import Session

    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    session = Session(tracking_uri=f"sqlite:///{folder}/mlflow.db", root=folder, device="cpu")
    bundle = _of_a_version(session, folder)
    _of_its_bundle(bundle, folder)
    _of_a_table(folder)
    _policies(folder)
    _specs(folder)
    (folder / "complete").write_bytes(b"")


def _of_a_version(session, folder: Path) -> bytes:  # type: ignore[no-untyped-def]
    """Forget list, ``model.json`` and bundle of a version that was unlearned, audited and exported."""
    import pandas as pd

    from grmu_audit.data.catalog import DataSpec
    from grmu_audit.data.forget import ForgetSampling
    from grmu_audit.models.weights import SPEC
    from grmu_audit.policy import load_named
    from grmu_audit.workflows.audits.pipeline import audit
    from grmu_audit.workflows.audits.stored import export_bundle
    from grmu_audit.workflows.forget_requests import sample_forget_list
    from grmu_audit.workflows.versions.method_choice import UnlearnOptions
    from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
    from grmu_audit.workflows.versions.unlearning import unlearn

    data = DataSpec("photodigits", {"renders": 1})
    base = pretrain(session, "digits", data, options=TrainingOptions({"epochs": 2}))
    ids = folder / LISTS / "ids.csv"
    sample_forget_list(session.dataset_of(base), ids, ForgetSampling(("1,0",), ratio=0.5))
    names = pd.read_csv(ids, dtype=str)["id"].tolist()
    (folder / LISTS / "ids.csv.meta.yaml").unlink(missing_ok=True)
    (folder / LISTS / "plain.txt").write_text("\n".join(names) + "\n")
    dates, grounds = ["2026-01-02"] * len(names), ["17(1)(a)"] * len(names)
    request = pd.DataFrame({"id": names, "request_id": [f"r{i % 3}" for i in range(len(names))], "received_at": dates})
    request.assign(ground=grounds, subject=[f"person {i // 2}" for i in range(len(names))]).to_csv(
        folder / LISTS / "request.csv", index=False
    )
    request.to_parquet(folder / PARQUET / "ids.parquet", index=False)
    ref = unlearn(session, base.label, ids, UnlearnOptions("ft", {"epochs": 1}))
    audit(session, ref.label, load_named("default"), folder / "audited")
    (folder / SPECS / "small_resnet.json").write_bytes(next((folder / "artifacts").rglob(SPEC)).read_bytes())
    export_bundle(session.store, ref.label, folder / BUNDLES / "version.zip")
    return (folder / BUNDLES / "version.zip").read_bytes()


def _of_its_bundle(bundle: bytes, folder: Path) -> None:
    """Audits, and predictions as CSV and parquet."""
    import io

    import numpy as np
    import pandas as pd

    from grmu_audit.auditing.audit_files import write_audit
    from grmu_audit.auditing.scoring import PredictionFiles, score
    from grmu_audit.evidence.archive import unpack
    from grmu_audit.policy import load_named

    files = unpack(bundle)[0]
    (folder / AUDITS / "version.json").write_bytes(files["audit.json"])
    for name in ("candidate", "baseline"):
        whole = pd.read_parquet(io.BytesIO(files[f"predictions/{name}.parquet"]))
        part = whole.groupby("split", group_keys=False).head(_ROWS // 4).reset_index(drop=True)
        part.to_csv(folder / TABLES / f"{name}.csv", index=False)
        part.to_parquet(folder / PARQUET / f"{name}.parquet", index=False)
        logits = part[["logit_0", "logit_1"]].to_numpy()
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        plain = part[["id", "split", "target"]].assign(
            attribute_a=part["attribute"],
            attribute_b=part.index % 3,
            subject=part.index // 2,
            prob_0=shares[:, 0],
            prob_1=shares[:, 1],
        )
        plain.to_csv(folder / TABLES / f"{name}-shares.csv", index=False)
    part[["id", "split", "target", "attribute", "prediction"]].to_csv(folder / TABLES / "labels.csv", index=False)
    paths = PredictionFiles(folder / TABLES / "candidate.csv", folder / TABLES / "baseline.csv")
    write_audit(score(paths, load_named("default")), folder / AUDITS / "scored.json")


def _of_a_table(folder: Path) -> None:
    """Manifests of a table of people and of a folder of images, and the table that they name."""
    from grmu_audit.data.import_table import ImportOptions, import_data

    rows = "\n".join(
        f"p{i},{'fm'[i % 2]},{20 + i % 40},{('nurse', 'clerk')[i % 2]},{('no', 'yes')[i % 3 % 2]}" for i in range(40)
    )
    table = folder / "people.csv"
    table.write_text(_PEOPLE.format(rows=rows))
    import_data(ImportOptions(table, "outcome", ("sex",), id="person"), folder / MANIFESTS / "table.yaml")


def _policies(folder: Path) -> None:
    from grmu_audit.utils.resources import policy_file, policy_names

    for name in policy_names():
        (folder / POLICIES / f"{name}.yaml").write_bytes(policy_file(name).read_bytes())


def _specs(folder: Path) -> None:
    """One spec of every architecture of the tool's own, and one of torchvision's."""
    from grmu_audit.models.classifier import ModelSpec
    from grmu_audit.utils import canonical_json

    image: tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]] = (3, 32, 32), (0.5,) * 3, (0.25,) * 3
    specs = {
        "small_vit": ModelSpec(
            "small_vit", 3, *image, ("a", "b", "c"), {"dim": 16, "depth": 2, "heads": 2, "head_dim": 8, "mlp": 16}
        ),
        "mlp": ModelSpec("mlp", 2, (5,), (0.0,) * 5, (1.0,) * 5, ("no", "yes"), {"hidden": [8, 4]}),
        "bert": ModelSpec(
            "bert", 3, (12,), (), (), (), {"hidden": 8, "layers": 1, "heads": 2, "intermediate": 8, "vocabulary": 50}
        ),
        "resnet18": ModelSpec("resnet18", 2, *image, ("no", "yes"), {"stem": "cifar"}),
    }
    for name, spec in specs.items():
        (folder / SPECS / f"{name}.json").write_bytes(canonical_json(spec.to_json()))


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
