"""Metadata and narrations of a synthetic Ego4D: ``ego4d.json`` and ``narration.json``."""

from typing import Any, Final

import numpy as np

from pipelines.synthetic.ego4d_truth import Ego4DTakeTruth, Ego4DTruth, make_ego4d_uid
from pipelines.synthetic.sentences import make_sentence
from schemas.time import NS_PER_S

__all__ = ["make_ego4d_json", "make_narrations"]

_FPS: Final = 30
_PASSES: Final = ("narration_pass_1", "narration_pass_2")
_LONG: Final = "#C C takes the red box, " + "then the next one from the left shelf, " * 24
_SCRIPTS: Final = (
    "#C C coupe les légumes à la maison",
    "#C C 用右手拿起杯子",
    "#C C открывает окно",
    "#C C يفتح الباب",
    "#C C stirs the pot 🍲🔥",
)
Record = dict[str, Any]


def make_ego4d_json(truth: Ego4DTruth, *, height_px: int) -> Record:
    """Return the content of ``ego4d.json``; ``height_px`` is that of the canonical picture."""
    return {
        "date": "230101",
        "version": "v2_1",
        "description": "synthetic; no person was recorded",
        "videos": [_make_video(take, height_px=height_px) for take in truth.takes],
        "clips": [],
        "concurrent_video_sets": [],
        "physical_settings": [],
    }


def make_narrations(truth: Ego4DTruth) -> tuple[Record, dict[str, int]]:
    """Return the content of ``narration.json``, and what a reader must count in it.

    Every video has a first pass, two of three have the second annotator's too.
    """
    counts = dict.fromkeys(("accepted", "outside", "empty", "unknown_take"), 0)
    content: Record = {}
    for index, take in enumerate(truth.takes):
        rng = np.random.default_rng([take.seed, 33])
        names = _PASSES[: 1 + (index % 3 != 2)]
        passes = {name: _make_pass(take, name=name, rng=rng) for name in names}
        planted = _plant(passes[_PASSES[0]]["narrations"], take=take)
        content[take.take_uid] = passes
        counts["accepted"] += sum(len(found["narrations"]) for found in passes.values())
        for kind, count in planted.items():
            counts[kind] += count
        if take.fault == "unknown_take":
            content[make_ego4d_uid(truth.seed, "unknown")] = passes
            counts["unknown_take"] += len(passes)
    return content, counts


def _make_pass(take: Ego4DTakeTruth, *, name: str, rng: np.random.Generator) -> Record:
    annotation = make_ego4d_uid(take.take_uid, name)
    duration_s = take.duration_ns / NS_PER_S
    narrations = []
    t_s = float(rng.uniform(0.3, 1.2))
    for part in take.sub_actions:
        while t_s < min(part.end_s, duration_s):
            text = make_sentence(take.activity, sub_action=part.sub_action, rng=rng)
            said_s = float(np.clip(t_s + rng.normal(0, 0.2), 0.05, duration_s - 0.05))
            text = "#C " + text.rstrip(".\n")
            narrations.append(_narrate(text, said_s, annotation=annotation))
            if rng.random() < 0.05:
                other = "#O man X talks to #unsure"
                narrations.append(_narrate(other, said_s, annotation=annotation))
            t_s += min(float(rng.lognormal(np.log(2.2), 0.6)), 8.0)
    narrations.sort(key=lambda entry: float(entry["timestamp_sec"]))
    summary = {
        "start_sec": 0.0,
        "end_sec": round(duration_s, 3),
        "summary_text": f"#Summary C was busy with {take.scenarios[0].splitlines()[0].lower()}",
        "annotation_uid": annotation,
    }
    return {"narrations": narrations, "summaries": [summary]}


def _narrate(text: str, t_s: float, *, annotation: str) -> Record:
    return {
        "timestamp_sec": round(t_s, 5),
        "timestamp_frame": round(t_s * _FPS),
        "narration_text": text,
        "annotation_uid": annotation,
    }


def _plant(narrations: list[Record], *, take: Ego4DTakeTruth) -> dict[str, int]:
    """Spoil the first pass by the take's fault; return what became of how many."""
    middle = len(narrations) // 2
    annotation = str(narrations[0]["annotation_uid"]) if narrations else ""
    if take.fault == "narration_outside":
        end_s = take.duration_ns / NS_PER_S
        narrations.insert(0, _narrate("#C C enters the room", -1.5, annotation=annotation))
        narrations.append(_narrate("#C C leaves the room", end_s + 3.5, annotation=annotation))
        return {"outside": 2}
    if take.fault == "narration_duplicate":
        narrations.insert(middle, dict(narrations[middle]))
    elif take.fault == "text_empty":
        narrations[middle]["narration_text"] = ""
        return {"empty": 1}
    elif take.fault == "text_long":
        narrations[middle]["narration_text"] = _LONG
    elif take.fault == "text_scripts":
        for entry, text in zip(narrations, _SCRIPTS, strict=False):
            entry["narration_text"] = text
    return {}


def _make_video(take: Ego4DTakeTruth, *, height_px: int) -> Record:
    duration_s = take.duration_ns / NS_PER_S
    picture = {
        "fps": float(_FPS),
        "num_frames": take.frames,
        "video_codec": "h264",
        "display_resolution_width": height_px,
        "display_resolution_height": height_px,
        "sample_resolution_width": height_px,
        "sample_resolution_height": height_px,
        "mp4_duration_sec": duration_s,
        "video_start_sec": 0.0,
        "video_duration_sec": duration_s,
    }
    # Each benchmark has its own split, and leaves other videos out.
    number = take.seed % 3
    splits = {
        name: take.split if place == number or take.seed % 2 else None
        for place, name in enumerate(("split_em", "split_av", "split_fho"))
    }
    return {
        "video_uid": take.take_uid,
        "duration_sec": duration_s,
        "scenarios": list(take.scenarios),
        "video_metadata": picture,
        **splits,
        "s3_path": f"s3://synthetic/{take.take_uid}.mp4",
        "origin_video_id": take.take_uid,
        "video_source": "synthetic",
        "device": "GoPro Hero 7",
        "physical_setting_name": None,
        "fb_participant_id": take.participant.participant_uid,
        "is_stereo": False,
        "has_imu": True,
        "has_gaze": False,
        "video_components": [
            {
                "video_component_uid": make_ego4d_uid(take.take_uid, part.imu.instance),
                "component_idx": part.imu.instance,
                "redacted": False,
                "canonical_video_start_sec": part.start_ns / NS_PER_S,
                "canonical_video_end_sec": part.end_ns / NS_PER_S,
                "canonical_video_start_frame": round(part.start_ns * _FPS / NS_PER_S),
                "canonical_video_end_frame": round(part.end_ns * _FPS / NS_PER_S),
                "video_metadata": None,
            }
            for part in take.components
        ],
        "has_redacted_regions": False,
        "redacted_intervals": [],
        "gaps": [],
    }
