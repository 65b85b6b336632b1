"""The AV1 encoder leaves the process as it found it."""

import os
from pathlib import Path

import pytest

from tests.video_files import make_frames, write_video


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux tells of schedulers")
def test_encoding_av1_leaves_scheduling_and_environment_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVT_LOG", "2")
    before = os.sched_getscheduler(0)
    write_video(tmp_path / "av1.mp4", make_frames(3), codec="libsvtav1", options={"preset": "12"})
    assert os.sched_getscheduler(0) == before == os.sched_getscheduler(os.getpid())
    assert os.environ["SVT_LOG"] == "2"
