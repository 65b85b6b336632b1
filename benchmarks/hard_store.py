"""Publish a store that is hard to learn from, of takes that were never recorded.

Eight activities share their frequencies and their strength (`pipelines.synthetic.hard_imu`); video
tells the activity behind a stronger direction of the take, and some sentences are about something
else (`pipelines.synthetic.hard_targets`). No participant is in two splits. Two devices can be had:
``glasses`` to pretrain on, ``phone`` to transfer to, which is worn by other people.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from part_tables import frames_rows, imu_rows, text_rows
from simulated_parts import simulated_spec

from pipelines.config import PrepConfig, load_config
from pipelines.parts.store import PartStore
from pipelines.pricing.timed_publish import publish_timed
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.refs import write_tag
from pipelines.synthetic.activities import ACTIVITIES, SUB_ACTIONS
from pipelines.synthetic.hard_imu import (
    GLASSES,
    PHONE,
    HardDevice,
    HardWearer,
    draw_hard_wearer,
    make_hard_imu,
)
from pipelines.synthetic.hard_targets import draw_hard_sentence, make_hard_frames
from schemas.manifest import SourceEntry
from schemas.narration import Narration
from schemas.store import sha256_hex
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import NS_PER_S, Interval, grid_ns

__all__ = ["DEVICES", "main", "publish_hard_store"]

DEVICES: Final = {"glasses": GLASSES, "phone": PHONE}
DIM: Final = 64
"""Of the embeddings."""
_FRAME_MS: Final = 500


def publish_hard_store(
    store: Path, *, device: str, participants: int, takes: int, windows: int, seed: int
) -> dict[str, Any]:
    """Publish the store under the tag ``latest`` and return what it holds.

    Args:
        store: its folder.
        device: a name in `DEVICES`.
        participants: each does every activity.
        takes: of a participant and activity.
        windows: of a take, end to end.
        seed: of everything but what an activity is.
    """
    splits = _deal_splits(participants)
    numbers = [
        (person, activity, take)
        for person in range(participants)
        for activity in range(len(ACTIVITIES))
        for take in range(takes)
    ]
    config = _config(store, splits={_uid(device, *n): splits[n[0]] for n in numbers})
    maker = _Maker(config, device=device, windows=windows, seed=seed)
    made = [
        replace(maker.make(person, activity, take), split=splits[person])
        for person, activity, take in numbers
    ]
    published = publish_timed(
        store,
        takes=made,
        config=config,
        spec=maker.spec,
        sources=[
            SourceEntry(
                take_uid=prepared.take.take_uid,
                path=f"takes/{prepared.take.take_uid}/video.mp4",
                size=1,
                fingerprint=sha256_hex(f"{seed} {prepared.take.take_uid}".encode()),
            )
            for prepared in made
        ],
    )
    write_tag(store, "latest", version=published.version)
    return {
        "store": str(store),
        "version": published.version,
        "device": device,
        "seed": seed,
        "segments": published.counts.stored,
        "participants": {name: splits.count(name) for name in ("train", "val", "test")},
    }


def _deal_splits(participants: int) -> list[str]:
    """Return the split of each participant: the last quarter is test, a sixth before it val."""
    test, val = max(1, participants // 4), max(1, participants // 6)
    return ["train"] * (participants - test - val) + ["val"] * val + ["test"] * test


def _uid(device: str, person: int, activity: int, take: int) -> str:
    return f"{device}-{person:03d}-{activity}-{take:03d}"


def _config(store: Path, *, splits: dict[str, str]) -> PrepConfig:
    overrides = {
        "dataset.name": "egoexo4d",
        "dataset.root": "unused",
        "store.uri": str(store),
        "video.step_ms": _FRAME_MS,
        "audit.enabled": False,
        "splits.kind": "custom",
        "splits.takes": splits,
    }
    return load_config(None, overrides=overrides)


class _Maker:
    """Writes takes' parts; a take depends on the seed and its own numbers alone."""

    def __init__(self, config: PrepConfig, *, device: str, windows: int, seed: int) -> None:
        self.spec = simulated_spec(DIM)
        self._config, self._name, self._windows = config, device, windows
        self._device: HardDevice = DEVICES[device]
        self._seed = (seed, tuple(DEVICES).index(device))
        self._parts = PartStore(config.parts_root)

    def make(self, person: int, activity: int, take: int) -> PreparedTake:
        rng = np.random.default_rng([*self._seed, 1, person, activity, take])
        wearer = self._wearer(person)
        subs = list(_draw_sub_actions(self._windows, rng=rng))
        length_ns = self._config.segments.length_ns
        said = [draw_hard_sentence(activity, sub_action=sub, rng=rng) for sub in subs]
        uid = _uid(self._name, person, activity, take)
        span = Interval(0, self._windows * length_ns)
        keys = {
            kind: sha256_hex(f"{kind} {self._seed} {uid} {self._windows}".encode())
            for kind in ("imu", "frames", "text")
        }
        self._write_imu(keys["imu"], activity, subs, span=span, wearer=wearer, rng=rng)
        self._write_frames(keys["frames"], activity, subs, span=span, rng=rng)
        embedded = {sentence.text: sentence.embedding(DIM) for sentence in said}
        table = text_rows(list(embedded), embedding=np.stack(list(embedded.values())))
        self._parts.write("text", keys["text"], schema=table.schema, batches=table.to_batches())
        return PreparedTake(
            take=Take(
                dataset="egoexo4d",
                take_uid=uid,
                take_name=uid,
                participant=f"egoexo4d:{self._name}-{person}",
                label=ACTIVITIES[activity].label,
                video=VideoStream(path=f"takes/{uid}/video.mp4", variant="448"),
                imu=ImuStream(path=f"takes/{uid}/imu.vrs", label="imu-right"),
            ),
            narrations=tuple(
                Narration(
                    narration_ns=k * length_ns + length_ns // 2,
                    text_raw=f"C {sentence.text}.",
                    text=sentence.text,
                    text_source="atomic_descriptions",
                    pass_uid="pass-1",
                )
                for k, sentence in enumerate(said)
            ),
            span=span,
            clock_uncertainty_ns=0,
            split=None,
            imu_key=keys["imu"],
            frames_key=keys["frames"],
            text_key=keys["text"],
        )

    def _wearer(self, person: int) -> HardWearer:
        rng = np.random.default_rng([*self._seed, 0, person])
        return draw_hard_wearer(self._device, rng=rng)

    def _write_imu(
        self,
        key: str,
        activity: int,
        subs: list[int],
        *,
        span: Interval,
        wearer: HardWearer,
        rng: np.random.Generator,
    ) -> None:
        step_ns = self._config.imu.step_ns
        values = make_hard_imu(
            activity,
            sub_actions=subs,
            device=self._device,
            wearer=wearer,
            seconds_each=self._config.segments.length_ns / NS_PER_S,
            rate_hz=NS_PER_S / step_ns,
            rng=rng,
        )
        table = imu_rows(values, t_ns=grid_ns(span, step_ns=step_ns), step_ns=step_ns)
        metadata = {"imu_stream": "imu-right", "imu_frame": "device"}
        self._parts.write(
            "imu", key, schema=table.schema, batches=table.to_batches(), metadata=metadata
        )

    def _write_frames(
        self,
        key: str,
        activity: int,
        subs: list[int],
        *,
        span: Interval,
        rng: np.random.Generator,
    ) -> None:
        t_ns = grid_ns(span, step_ns=self._config.video.step_ns)
        embedding = make_hard_frames(
            activity, sub_actions=subs, frames_each=len(t_ns) // len(subs), dim=DIM, rng=rng
        )
        table = frames_rows(embedding, t_ns=t_ns, rng=rng)
        self._parts.write("frames", key, schema=table.schema, batches=table.to_batches())


def _draw_sub_actions(windows: int, *, rng: np.random.Generator) -> Iterator[int]:
    """Yield the sub-action of each window: each lasts one to three windows."""
    left, previous = windows, -1
    while left:
        choices = [k for k in range(len(SUB_ACTIONS)) if k != previous]
        previous = int(rng.choice(choices))
        lasts = min(left, int(rng.integers(1, 4)))
        yield from [previous] * lasts
        left -= lasts


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Publish a store, print what it holds as JSON, and return that."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("--device", choices=sorted(DEVICES), default="glasses")
    parser.add_argument("--participants", type=int, default=16, help="at least 3")
    parser.add_argument("--takes", type=int, default=2, help="of a participant and activity")
    parser.add_argument("--windows", type=int, default=6, help="of 5 s, of a take")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.participants < 3:
        parser.error(f"--participants must be at least 3, got {args.participants}")
    made = publish_hard_store(
        args.store,
        device=args.device,
        participants=args.participants,
        takes=args.takes,
        windows=args.windows,
        seed=args.seed,
    )
    print(json.dumps(made, indent=1))
    return made


if __name__ == "__main__":
    main()
