"""A published store against the truth, and stores made on clocks known to be wrong."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from flows.prepare import prepare
from pipelines.align.clock import TakeClock
from pipelines.datasets.egoexo4d import EgoExo4DReader
from pipelines.synthetic.egoexo4d import write_egoexo4d
from pipelines.synthetic.truth import TakeTruth, read_truth
from pipelines.video.grid import match_frames
from schemas.store import version_path
from schemas.take import Take
from schemas.time import NS_PER_MS, NS_PER_S
from tests.integration.alignment import (
    FPS,
    TOLERANCE_MS,
    WindowLag,
    check_frames,
    check_windows,
    first_sample_ns,
    is_assumed,
    true_take_ns,
    used_frames,
    window_lags,
)
from tests.integration.conftest import make_config

pytest.importorskip("projectaria_tools.core.data_provider")
pytestmark = pytest.mark.slow

ACCEPTANCE_SEEDS = (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    root: Path
    encoder: Path
    store: Path
    version: Path

    @property
    def truths(self) -> dict[str, TakeTruth]:
        return {take.take_name: take for take in read_truth(self.root).takes}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(None, id="small"),
        *[pytest.param(s, id=f"seed{s}", marks=pytest.mark.long) for s in ACCEPTANCE_SEEDS],
    ],
)
def published(
    request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    """The small dataset as a version, or one of acceptance size."""
    if request.param is None:
        root: Path = request.getfixturevalue("small_dataset")
    else:
        root = tmp_path_factory.mktemp("acceptance")
        write_egoexo4d(root, takes=16, seconds=40.0, seed=request.param, workers=2)
    store = tmp_path_factory.mktemp("aligned")
    version = publish(root, encoder=tiny_encoder, store=store)
    return Published(root=root, encoder=tiny_encoder, store=store, version=version)


def publish(root: Path, *, encoder: Path, store: Path, **overrides: object) -> Path:
    summary = prepare(make_config(root, encoder=encoder, store=store, **overrides))
    assert summary.quarantined_takes == {}
    assert summary.stored >= 0.8 * summary.planned > 0
    return store / version_path(summary.version)


def test_every_window_and_frame_lies_where_the_truth_has_it(published: Published) -> None:
    truths = published.truths.values()
    assert {is_assumed(truth) for truth in truths} == {True, False}
    assert min(abs(truth.clock.drift_ppm) for truth in truths) >= 30
    assert all(truth.clock.empty_rows and truth.clock.jitter_ns for truth in truths)
    windows = window_lags(published.version, root=published.root)
    assert {window.take_name for window in windows} == set(published.truths)
    check_windows(windows)
    check_frames(used_frames(published.version, root=published.root))


def test_the_first_sample_rule_fails_the_check(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truths = published.truths
    honest = EgoExo4DReader.read_clock

    def read_clock(self: EgoExo4DReader, take: Take) -> TakeClock:
        # The published rule: the first IMU sample is the first video frame.
        ends = np.array([0, NS_PER_S])
        device_ns = first_sample_ns(truths[take.take_name]) + ends
        return TakeClock(device_ns=device_ns, take_ns=ends, span=honest(self, take).span)

    monkeypatch.setattr(EgoExo4DReader, "read_clock", read_clock)
    # Frames and sentences know nothing of the device clock; imu parts of the honest run must stay
    # out of reach, for no key tells one rule from the other.
    for kind in ("frames", "text"):
        shutil.copytree(published.store / "parts" / kind, tmp_path / "parts" / kind)
    version = publish(published.root, encoder=published.encoder, store=tmp_path)
    windows = window_lags(version, root=published.root)

    def expected_ms(window: WindowLag) -> float:
        truth = truths[window.take_name]
        middle_ns = window.start_ns + 5 * NS_PER_S // 2
        true_ns = true_take_ns(truth, first_sample_ns(truth) + middle_ns)
        return (true_ns - middle_ns) / NS_PER_MS

    assert_fails_by(windows, expected_ms=expected_ms)
    assert max(expected_ms(window) for window in windows) < -250


def test_a_wrong_k0_fails_the_check(published: Published) -> None:
    version = publish(
        published.root,
        encoder=published.encoder,
        store=published.store,
        dataset__timesync_k0=1,
        store__tag="wrong",
    )
    windows = window_lags(version, root=published.root)
    assumed = {name for name, truth in published.truths.items() if is_assumed(truth)}
    check_windows([window for window in windows if window.take_name not in assumed])
    assert_fails_by(
        [window for window in windows if window.take_name in assumed],
        expected_ms=lambda _: 1000 / FPS,
    )


def assert_fails_by(windows: list[WindowLag], *, expected_ms: Callable[[WindowLag], float]) -> None:
    with pytest.raises(AssertionError, match="the worst window is off"):
        check_windows(windows)
    moving = [window for window in windows if window.moves]
    off = [window for window in moving if abs(window.lag_ms) > TOLERANCE_MS]
    assert len(off) >= 0.95 * len(moving)
    for window in off:
        assert window.lag_ms == pytest.approx(expected_ms(window), abs=TOLERANCE_MS), window


def test_frames_one_late_fail_the_check(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def match_late(
        pts_ns: npt.NDArray[np.int64], *, grid: npt.NDArray[np.int64], tolerance_ns: int
    ) -> npt.NDArray[np.int64]:
        return match_frames(pts_ns, grid=grid, tolerance_ns=tolerance_ns) + 1

    monkeypatch.setattr("pipelines.parts.frames.match_frames", match_late)
    version = publish(small_dataset, encoder=tiny_encoder, store=tmp_path, dataset__limit=2)
    frames = used_frames(version, root=small_dataset)
    with pytest.raises(AssertionError, match=r"the worst frame is 33\.3 ms off"):
        check_frames(frames)
    assert all(frame.error_ms > 500 / FPS for frame in frames)
