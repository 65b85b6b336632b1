"""Zero-shot classification: a window is of the class whose sentences its embedding is nearest to.

The IMU encoder was trained to bring windows near their narrations; nothing is fitted here. Nearest
is by cosine, as in the loss.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.data.store import StoreData
from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import Trial, find_labelled
from primus_train.probes.table import make_row
from primus_train.prompts import class_prompts
from primus_train.representation import Pretrained, embed_rows
from schemas.errors import UsageError

__all__ = ["nearest_prompts", "refuse_unaligned", "zeroshot"]


def refuse_unaligned(pretrained: Pretrained) -> None:
    """Refuse an encoder that was never brought near sentences.

    Raises:
        UsageError: with what it was pretrained by.
    """
    targets = pretrained.objective.aligned_with
    if "text" not in targets:
        raise UsageError(
            "zero-shot needs a run whose term mm had text among its targets, got "
            f"{pretrained.config.objective.name} with {' and '.join(targets) or 'none'}: choose "
            f"another run, or probe this one [checkpoint={pretrained.sha256[:12]}]"
        )


def nearest_prompts(
    features: torch.Tensor, prompts: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return the class (n,) of the largest cosine; the first of equal ones.

    Args:
        features: (n, Dt).
        prompts: (K, Dt) one direction a class.
    """
    ways = F.normalize(torch.from_numpy(prompts).to(features.device), dim=1)
    cosine = F.normalize(features.double(), dim=1) @ ways.T
    classes: npt.NDArray[np.int64] = cosine.argmax(dim=1).cpu().numpy()
    return classes


@torch.no_grad()
def zeroshot(
    pretrained: Pretrained,
    store: StoreData,
    *,
    splits: tuple[str, ...] = ("test",),
    classes: Sequence[str] | None = None,
    prompts: Path | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Return the report of a zero-shot classification: what, how, and the table.

    Windows are those of a probe: distinct, with a label; and so are the classes, all labels of the
    version unless ``classes`` names some. Rows of the table are rows of a probe's, of 0 shots and
    one trial; without spread, as nothing is drawn.

    Args:
        pretrained: an encoder that was aligned with text.
        store: the version.
        splits: evaluated ones.
        classes: labels to tell apart; None for all.
        prompts: of ``primus-prep embed-prompts``; None lets the narrations of the classes' train
            segments stand for them.
        on_progress: called with ``window``, done and total.

    Raises:
        UsageError: if the encoder was not aligned with text, fewer than two classes are there, a
            split has no labels, or a class no sentences.
    """
    refuse_unaligned(pretrained)
    objective = pretrained.objective
    pretrained.check_fits(store)
    asked = {"eval_splits": splits, "classes": None if classes is None else tuple(classes)}
    labelled = find_labelled(store, config=ProbeConfig.model_validate(asked))
    directions = class_prompts(pretrained, store, classes=labelled.classes, file=prompts)
    ways = np.stack([directions.embeddings[name] for name in labelled.classes])
    total, before = sum(len(labelled.rows[split]) for split in splits), 0
    table: list[dict[str, Any]] = []
    for split in splits:
        rows = labelled.rows[split]

        def report(done: int, *, before: int = before) -> None:
            if on_progress is not None:
                on_progress("window", before + done, total)

        embedded = embed_rows(objective, store, rows, on_rows=report)
        features = objective.project(embedded.multimodal, name="text")
        before += len(rows)
        row = make_row(
            [Trial(predicted={split: nearest_prompts(features, ways)})],
            labels=labelled.labels[split],
            classes=len(labelled.classes),
            split=split,
            shots=0,
            shot_takes=(),
            protocol="zeroshot",
            shots_by="segment",
            strength_from="none",
            reason=None,
        )
        table.append(row)
    return {
        "objective": pretrained.config.objective.name,
        "permute_video": pretrained.config.data.permute_video,
        "pretrained_on": pretrained.origin(),
        "checkpoint_sha256": pretrained.sha256,
        "version": store.version,
        "protocol": "zeroshot",
        "representation": "multimodal",
        "prompts": directions.origin,
        "classes": list(labelled.classes),
        "rows": table,
    }
