"""Annotations of a synthetic dataset: ``atomic_descriptions_{train,val}.json``."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.plan import make_uid
from pipelines.synthetic.sentences import make_sentence
from pipelines.synthetic.truth import DatasetTruth, TakeTruth, frame_device_ns, sub_action_at

__all__ = ["Annotations", "make_annotations"]

_FPS: Final = 30
_PASSES: Final = (1, 1, 2, 1, 3, 1, 2, 1)
# Longer than the 77 tokens of CLIP's text encoder, whatever its tokenizer makes of it.
_LONG: Final = "C " + " and then ".join(["turns the handle, looks at it, puts it back"] * 12) + "."
_SCRIPTS: Final = (
    "C \u5207\u756a\u8304\u3002",
    "C \u0440\u0435\u0436\u0435\u0442 \u0445\u043b\u0435\u0431.",
    "C \u064a\u0641\u062a\u062d \u0627\u0644\u0628\u0627\u0628.",
    "C smiles \U0001f600\U0001f468\u200d\U0001f373.",
)


@dataclass(slots=True)
class Annotations:
    """One annotation file's content, and what a reader must count in it."""

    document: dict[str, Any]
    counts: dict[str, int] = field(default_factory=dict)


def make_annotations(truth: DatasetTruth, *, file_split: str) -> Annotations:
    """Return the content of ``atomic_descriptions_<file_split>.json``.

    Takes of the test split stand in the val file: Ego-Exo4D has no public test descriptions, and
    a dataset of a few takes is to have sentences for all of them. Rejected passes are empty, and
    come first now and then; one take's first pass has a sentence beyond the take's end; one list
    belongs to a take that the dataset does not have. A take's fault is in its first pass.

    Args:
        truth: the dataset.
        file_split: train or val.
    """
    found = Annotations(
        {"ds": "2024-03-27", "take_cam_id_map": {}, "annotations": {}},
        dict.fromkeys(("accepted", "beyond_end", "rejected_passes", "unknown_take"), 0),
    )
    passes_of: dict[str, list[dict[str, Any]]] = found.document["annotations"]
    for index, take in enumerate(truth.takes):
        if (take.split == "train") != (file_split == "train"):
            continue
        rng = np.random.default_rng([take.seed, 9])
        passes = [
            _make_pass(take, number=number, rng=rng)
            for number in range(_PASSES[index % len(_PASSES)])
        ]
        if index % 8 == 0:
            end_s = take.frames / _FPS
            passes[0]["descriptions"].append(_describe("C leaves the room.", end_s + 3.5, rng=rng))
        if index % 5 == 1:
            passes.insert(0 if index % 2 else 1, _rejected_pass(take, rng=rng))
        if take.fault is not None:
            passes = _spoil(take, passes)
        if take.fault == "unknown_take":
            passes_of[make_uid(take.seed, "unknown")] = passes[:1]
        passes_of[take.take_uid] = passes
        found.document["take_cam_id_map"][take.take_uid] = {"cam01": "cam01", "cam02": "cam02"}
    stranger = truth.takes[0]
    rng = np.random.default_rng([truth.seed, 10])
    unknown = _make_pass(stranger, number=99, rng=rng)
    passes_of[make_uid(truth.seed, "unknown", file_split)] = [unknown]
    _count(found, truth=truth)
    return found


def _count(found: Annotations, *, truth: DatasetTruth) -> None:
    end_s = {take.take_uid: take.frames / _FPS for take in truth.takes}
    for uid, passes in found.document["annotations"].items():
        for entry in passes:
            if uid not in end_s:
                found.counts["unknown_take"] += len(entry["descriptions"])
            elif entry["rejected"]:
                found.counts["rejected_passes"] += 1
            else:
                stamps = [float(one["timestamp"]) for one in entry["descriptions"]]
                found.counts["accepted"] += len(stamps)
                found.counts["beyond_end"] += sum(t_s >= end_s[uid] for t_s in stamps)


def _spoil(take: TakeTruth, passes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the take's passes with its fault, if that is one of the annotations."""
    if take.fault == "passes_rejected":
        return [
            {**entry, "descriptions": [], "rejected": True, "reject_reason": "unusable"}
            for entry in passes
        ]
    first = next(entry for entry in passes if not entry["rejected"])
    said: list[dict[str, Any]] = first["descriptions"]
    middle = len(said) // 2
    if take.fault == "narration_outside":
        said.insert(0, {**said[0], "text": "C enters the room.", "timestamp": -1.5})
        said.append({**said[-1], "text": "C waves.", "timestamp": take.frames / _FPS + 2.5})
    elif take.fault == "narration_duplicate":
        said.insert(middle, dict(said[middle]))
    elif take.fault == "text_empty":
        said[middle]["text"] = ""
    elif take.fault == "text_long":
        said[middle]["text"] = _LONG
    elif take.fault == "text_scripts":
        for entry, text in zip(said, _SCRIPTS, strict=False):
            entry["text"] = text
    return passes


def _make_pass(take: TakeTruth, *, number: int, rng: np.random.Generator) -> dict[str, Any]:
    device_ns = frame_device_ns(take)
    duration_s = take.frames / _FPS
    descriptions = []
    t_s = float(rng.uniform(0.2, 1.0))
    while t_s < duration_s:
        seen = int(device_ns[min(int(t_s * _FPS), take.frames - 1)])
        text = make_sentence(take.activity, sub_action=sub_action_at(take, seen), rng=rng)
        # Annotators see the event, then stop the video: a few tenths of a second off.
        said_s = float(np.clip(t_s + rng.normal(0, 0.2), 0, duration_s - 0.01))
        descriptions.append(_describe(text, said_s, rng=rng))
        if rng.random() < 0.04:
            descriptions.append(_describe("O talks to C.", said_s, rng=rng, subject="O"))
        t_s += min(float(rng.lognormal(np.log(1.3), 0.8)), 6.0)
    descriptions.sort(key=lambda entry: float(entry["timestamp"]))
    return {**_pass_head(take, number=number, rng=rng), "descriptions": descriptions}


def _rejected_pass(take: TakeTruth, *, rng: np.random.Generator) -> dict[str, Any]:
    head = _pass_head(take, number=50, rng=rng)
    return {
        **head,
        "descriptions": [],
        "rejected": True,
        "reject_reason": f"Video does not show {ACTIVITIES[take.activity].label}",
    }


def _pass_head(take: TakeTruth, *, number: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "annotation_uid": make_uid(take.seed, "pass", number),
        "annotator_id": f"annotator_{int(rng.integers(40)):02d}",
        "descriptions": [],
        "job_id": int(rng.integers(10**9)),
        "rejected": False,
        "reject_reason": None,
        "response_id": int(rng.integers(10**9)),
        "response_time": round(float(rng.uniform(300, 3000)), 3),
    }


def _describe(
    text: str, t_s: float, *, rng: np.random.Generator, subject: str | None = "C"
) -> dict[str, Any]:
    whole = rng.random() < 0.05 and t_s >= 1
    visible = bool(rng.random() < 0.74)
    camera = f"cam0{int(rng.integers(1, 5))}"
    return {
        "text": text,
        "timestamp": int(t_s) if whole else round(t_s, 5),
        "subject": None if subject == "C" and rng.random() < 0.02 else subject,
        "ego_visible": None if rng.random() < 0.02 else visible,
        "best_exo": None if rng.random() < 0.1 else {"raw_cam_id": camera, "cam_id": camera},
        "unsure": True if rng.random() < 0.01 else (None if rng.random() < 0.02 else False),
    }
