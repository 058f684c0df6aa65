"""The forward pass: one per version over all samples; every number is derived from what it stores."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import DivergedError, IntegrityError
from grmu_audit.records import Predictions
from grmu_audit.records.predictions import LARGEST_LOGIT, by_appearance

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime


@dataclass(frozen=True)
class ModelOutputs:
    """Outputs of one forward pass over a dataset, independent of any forget request; rows sorted by pseudonym."""

    ids: npt.NDArray[np.str_]
    """[n] keyed pseudonyms of the sample ids."""
    split: npt.NDArray[np.str_]
    """[n] ``train``, ``val`` or ``test``."""
    target: npt.NDArray[np.int64]
    """[n] class index."""
    attribute: npt.NDArray[np.int64]
    """[n] attribute index."""
    subject: npt.NDArray[np.int64]
    """[n] person index, numbered in order of first appearance, so that it follows the pseudonyms and not the data."""
    logits: npt.NDArray[np.float64]
    """[n, classes]."""
    forward_passes: int = 1
    """Passes over the data that this needed: 0 when read from the store."""

    def only(self, rows: npt.NDArray[np.bool_ | np.int64]) -> ModelOutputs:
        """The outputs of some rows, chosen by a mask or by number."""
        names = ("ids", "split", "target", "attribute", "subject", "logits")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def predict_all(model: Classifier, source: BatchSource, runtime: Runtime, pseudonyms: Sequence[str]) -> ModelOutputs:
    """Run the model once over every sample, without augmentation, in eval mode.

    Args:
        model: on the runtime's device.
        source: the data on that device.
        runtime: precision.
        pseudonyms: [n] names to store instead of the ids.

    Raises:
        DivergedError: a logit is not finite, or larger than any that a working network gives.
    """
    from grmu_audit.training.inference import infer

    dataset = source.dataset
    rows = np.arange(len(dataset), dtype=np.int64)
    logits = infer(model, source, rows, runtime).double().cpu().numpy()
    if not np.isfinite(logits).all():
        raise DivergedError("the model gives logits that are not finite; nothing was registered")
    if np.abs(logits).max(initial=0.0) > LARGEST_LOGIT:
        raise DivergedError(
            f"the model gives logits of {np.abs(logits).max():.0e}: it diverged; nothing was registered. Lower the learning rate "
            "or the number of epochs."
        )
    return outputs_of(dataset, logits, pseudonyms)


def outputs_of(dataset: Dataset, logits: npt.NDArray[np.float64], pseudonyms: Sequence[str]) -> ModelOutputs:
    """Logits beside the columns of the manifest.

    Args:
        dataset: n samples.
        logits: [n, classes], in the order of the dataset.
        pseudonyms: [n] names to store instead of the ids, in the order of the dataset.
    """
    import pandas as pd

    outputs = ModelOutputs(
        ids=np.asarray(pseudonyms, dtype=np.str_),
        split=dataset.frame["split"].to_numpy().astype(np.str_),
        target=dataset.frame["target"].to_numpy(dtype=np.int64),
        attribute=dataset.frame["attribute"].to_numpy(dtype=np.int64),
        subject=np.asarray(pd.factorize(dataset.frame["subject"])[0], dtype=np.int64),
        logits=logits,
    )
    return _without_order(outputs)


def _without_order(outputs: ModelOutputs) -> ModelOutputs:
    """Rows sorted by pseudonym, people numbered in that order: nothing is left of the order of the data."""
    ordered = outputs.only(np.argsort(outputs.ids, kind="stable"))
    return replace(ordered, subject=by_appearance(ordered.subject))


def to_parquet(outputs: ModelOutputs) -> bytes:
    """The table as parquet."""
    import pandas as pd

    columns: dict[str, object] = {
        "id": outputs.ids.astype(object),
        "split": outputs.split.astype(object),
        "target": outputs.target,
        "attribute": outputs.attribute,
        "subject": outputs.subject,
    }
    for index in range(outputs.logits.shape[1]):
        columns[f"logit_{index}"] = outputs.logits[:, index].astype(np.float32)
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    return buffer.getvalue()


def from_parquet(data: bytes) -> ModelOutputs:
    """Read what ``to_parquet`` wrote; people whom an earlier version numbered in the order of the data are numbered anew.

    Raises:
        IntegrityError: the bytes are no such table.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(data))
        names = [f"logit_{i}" for i in range(sum(c.startswith("logit_") for c in frame.columns))]
        outputs = ModelOutputs(
            ids=frame["id"].to_numpy().astype(np.str_),
            split=frame["split"].to_numpy().astype(np.str_),
            target=frame["target"].to_numpy(dtype=np.int64),
            attribute=frame["attribute"].to_numpy(dtype=np.int64),
            subject=frame["subject"].to_numpy(dtype=np.int64),
            logits=frame[names].to_numpy(dtype=np.float64),
            forward_passes=0,
        )
    except (OSError, KeyError, ValueError) as error:
        raise IntegrityError(f"stored predictions cannot be read: {type(error).__name__}: {error}") from None
    return _without_order(outputs)


def apply_request(
    outputs: ModelOutputs,
    forget: frozenset[str],
    class_names: tuple[str, ...],
    attribute_names: tuple[str, ...],
    withheld: frozenset[str] = frozenset(),
) -> Predictions:
    """Predictions under one forget request: the training rows split into retain and forget by pseudonym.

    Args:
        outputs: one model's table.
        forget: pseudonyms of the forget set; all must be training rows.
        class_names: names by index.
        attribute_names: names by index.
        withheld: pseudonyms of validation and test rows that a request names: they are left out.

    Raises:
        IntegrityError: a forget pseudonym is not among the training rows.
    """
    if withheld:
        outputs = outputs.only(~(np.isin(outputs.ids, list(withheld)) & (outputs.split != "train")))
    train = outputs.split == "train"
    forgotten = np.isin(outputs.ids, list(forget)) & train
    if int(forgotten.sum()) != len(forget):
        raise IntegrityError(
            f"{len(forget) - int(forgotten.sum())} of {len(forget)} forget samples are not in the stored predictions: "
            "was the pseudonym key changed?"
        )
    split = np.select([forgotten, train, outputs.split == "val"], [1, 0, 2], default=3).astype(np.int64)
    return Predictions(
        ids=outputs.ids,
        split=split,
        target=outputs.target,
        attribute=outputs.attribute,
        prediction=outputs.logits.argmax(1).astype(np.int64),
        classes=len(class_names),
        attributes=len(attribute_names),
        logits=outputs.logits,
        subject=outputs.subject,
        class_names=class_names,
        attribute_names=attribute_names,
    )
