"""Measure what stages cost here, by doing a little of the very work that is to be priced."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, DatasetReader
from pipelines.datasets.mirror import held_files
from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.torch_threads import one_torch_thread, use_one_torch_thread
from pipelines.parts.store import PartStore
from pipelines.planned_take import clean_narrations
from pipelines.pricing.clips import PreparedClip, cut_clip, prepare_clip
from pipelines.pricing.rates import Line, Rates, Together, fit_line
from pipelines.pricing.survey import TakeCount
from schemas.errors import PrimusError, TakeError
from schemas.take import Take
from schemas.time import seconds_to_ns

__all__ = ["LONG", "SHORT", "Calibration", "calibrate"]

_TAKES: Final = 3
"""Measured of each kind of picture: one take's picture and talk are not the next one's."""
_SHORT_S: Final = 6.0
_SHARE: Final = 0.12
"""Of the budget, for one clip."""

SHORT: Final = "short"
LONG: Final = "long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The rates of all stages but ``publish``, and what they were measured on."""

    rates: Rates
    shorts: list[PreparedClip]
    """Their parts lie in the folder ``SHORT``."""
    longs: list[PreparedClip]
    """One of each take; their parts lie in the folder ``LONG``."""


def calibrate(
    config: PrepConfig,
    *,
    reader: DatasetReader,
    catalogue: Catalogue,
    counts: Sequence[TakeCount],
    encoder: FrozenEncoder | None,
    folder: Path,
    budget_s: float = 20.0,
    progress: Callable[[str], None] | None = None,
) -> Calibration:
    """Prepare the first stretch of a few takes, and return what each stage cost.

    Of every kind of picture up to three takes, spread over the dataset, are prepared by the very
    code of a run: a short stretch of the first, then of each as long a one as the budget allows.
    From the two follows what a take costs beside its length. Where a run's workers are threads of
    one process, the same clips are prepared once more side by side, which tells what they lose to
    each other.

    Args:
        config: of the run; its executor, workers and threads count.
        reader: of the dataset.
        catalogue: its takes.
        counts: of every take; those without fault and with segments are candidates.
        encoder: of the run.
        folder: for the parts made here, on the disk that the real ones go to; empty.
        budget_s: about how long this may take.
        progress: told what is measured next.

    Raises:
        PrimusError: if not one take can be prepared.
    """
    began = time.perf_counter()
    say = progress if progress is not None else _say_nothing
    bench = _Bench(config, reader=reader, catalogue=catalogue, encoder=encoder, folder=folder)
    shorts: list[PreparedClip] = []
    longs: list[PreparedClip] = []
    warm: list[PreparedClip] = []
    warm_up_s = 0.0
    with one_torch_thread():
        for variant, uids in _choose(counts).items():
            long_s = 0.0
            for uid in uids:
                say(f"take {uid}" + (f" (picture {variant})" if variant else ""))
                try:
                    if not long_s:
                        # The first time libraries load, which happens once a run.
                        cold = bench.prepare(uid, seconds=_SHORT_S, name="cold")
                        short = bench.prepare(uid, seconds=_SHORT_S, name=SHORT)
                        warm_up_s = max(warm_up_s, cold.wall_s - short.wall_s)
                        shorts.append(short)
                        long_s = _SHORT_S * max(1.0, _SHARE * budget_s / max(short.wall_s, 1e-3))
                    longs.append(bench.prepare(uid, seconds=long_s, name=LONG))
                    warm.append(bench.prepare(uid, seconds=long_s, name=LONG))
                except TakeError:
                    # A run would quarantine it; the next one serves as well.
                    continue
        if not longs:
            raise PrimusError("at least one take must be preparable to measure rates, none was")
        together = Together()
        if config.execution.executor == "threads" and config.execution.workers > 1:
            say(f"{config.execution.workers} workers side by side")
            together = bench.measure_together(longs)
    made = [*shorts, *longs]
    rates = Rates(
        stages=_fit_stages(made, warm=warm),
        part_bytes=_fit_parts(made),
        cpu=_cpu_shares(made),
        fixed={"warm_up": warm_up_s},
        together=together,
        threads=config.execution.threads_per_worker,
        device_kind=encoder.spec.device_kind if encoder is not None else "cpu",
        takes=len(longs),
        seconds=time.perf_counter() - began,
    )
    return Calibration(rates=rates, shorts=shorts, longs=longs)


class _Bench:
    """Prepares clips of a dataset's takes, each into a parts folder of its own."""

    def __init__(
        self,
        config: PrepConfig,
        *,
        reader: DatasetReader,
        catalogue: Catalogue,
        encoder: FrozenEncoder | None,
        folder: Path,
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._reader = reader
        self._takes: dict[str, Take] = {take.take_uid: take for take in catalogue.takes}
        self._folder = folder
        self._prepare = partial(prepare_clip, reader=reader, encoder=encoder, config=config)

    def prepare(self, uid: str, *, seconds: float, name: str) -> PreparedClip:
        """Prepare a take's first seconds into the parts folder of that name."""
        take = self._takes[uid]
        clip = cut_clip(
            take,
            clock=self._reader.read_clock(take),
            narrations=clean_narrations(
                self._catalogue.narrations.get(uid, ()), config=self._config
            ),
            length_ns=max(seconds_to_ns(seconds), 2 * self._config.segments.length_ns),
            config=self._config,
        )
        return self._prepare(clip, parts=PartStore(self._folder / name))

    def measure_together(self, longs: Sequence[PreparedClip]) -> Together:
        """Prepare the clips again, every worker all of them, side by side."""
        workers = self._config.execution.workers

        def prepare(worker: int) -> float:
            # Each begins with another, as in a run; with the same number each has all the others
            # beside it to the end.
            order = [longs[(worker + i) % len(longs)].clip for i in range(len(longs))]
            parts = PartStore(self._folder / f"beside-{worker}")
            with held_files(self._config.dataset.root):
                return sum(self._prepare(clip, parts=parts).wall_s for clip in order)

        with ThreadPoolExecutor(workers, initializer=use_one_torch_thread) as pool:
            beside_s = sum(pool.map(prepare, range(workers))) / workers
        return Together(workers=workers, slowdown=beside_s / sum(one.wall_s for one in longs))


def _choose(counts: Sequence[TakeCount]) -> dict[str, list[str]]:
    """Return the uids of a few takes of each kind of picture, spread over the dataset."""
    by_variant: defaultdict[str, list[str]] = defaultdict(list)
    for count in counts:
        if not count.reason and count.rows:
            by_variant[count.variant].append(count.take_uid)
    return {
        variant: [uids[(2 * i + 1) * len(uids) // (2 * n)] for i in range(n)]
        for variant, uids in sorted(by_variant.items())
        for n in (min(_TAKES, len(uids)),)
    }


def _fit_stages(made: Sequence[PreparedClip], *, warm: Sequence[PreparedClip]) -> dict[str, Line]:
    points: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in made:
        variant = one.clip.take.video.variant if one.clip.take.video is not None else ""
        for stage, seconds in one.seconds.items():
            if stage == "check" or stage not in one.items:
                continue
            points[stage].append((one.items[stage], seconds))
            if stage.startswith("frames") and variant:
                points[f"{stage}:{variant}"].append((one.items[stage], seconds))
    for one in warm:
        points["check"].append((one.items["check"], one.seconds["check"]))
    return {stage: fit_line(some) for stage, some in points.items()}


def _fit_parts(made: Sequence[PreparedClip]) -> dict[str, Line]:
    points: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in made:
        for kind, size in one.sizes.items():
            points[kind].append((one.items[kind], size))
    return {kind: fit_line(some) for kind, some in points.items()}


def _cpu_shares(made: Sequence[PreparedClip]) -> dict[str, float]:
    """Return processor seconds a second of the frames stage; the other stages use one core.

    Waiting for a disk takes none, decoding and encoding on several threads more than one.
    """
    frames_s = sum(one.seconds.get("frames", 0.0) for one in made)
    others_s = sum(one.wall_s - one.seconds.get("frames", 0.0) for one in made)
    cpu_s = sum(one.cpu_s for one in made)
    if frames_s == 0 or cpu_s <= others_s:
        return {"frames": min(1.0, cpu_s / (frames_s + others_s))} if frames_s else {}
    return {"frames": (cpu_s - others_s) / frames_s}


def _say_nothing(_what: str) -> None:
    return
