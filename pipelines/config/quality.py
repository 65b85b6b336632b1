"""How far gyro and picture may be apart, and how sound a segment must be."""

from typing import Self

from pydantic import Field, model_validator

from pipelines.config.closed import Closed

__all__ = ["AuditConfig", "QualityConfig"]


class AuditConfig(Closed):
    """How far gyro and picture are apart, measured from the motion both of them saw."""

    enabled: bool = Field(default=True, description="measure picture motion and lags")
    max_lag_ms: int = Field(default=1500, gt=0, description="lags up to this far are tried")
    window_s: int = Field(
        default=20, ge=10, description="stretch around a segment that its own lag is told from"
    )
    suspect_ms: int = Field(
        default=150, gt=0, description="a take whose lag is beyond this is marked sync_suspect"
    )
    correct: bool = Field(
        default=False, description="move each take's IMU by its measured lag, where one was told"
    )

    @model_validator(mode="after")
    def _corrects_only_what_is_measured(self) -> Self:
        if self.correct and not self.enabled:
            raise ValueError("correct needs enabled, got correct=true and enabled=false")
        return self


class QualityConfig(Closed):
    """Limits beyond which a segment is dropped; None sets none."""

    min_imu_coverage: float | None = Field(default=None, ge=0, le=1, description="share")
    max_imu_gap_ms: float | None = Field(default=None, gt=0, description="longest gap in it")
    max_imu_jitter_us: float | None = Field(
        default=None, gt=0, description="standard deviation of the sample intervals"
    )
    max_imu_invalid_share: float | None = Field(default=None, ge=0, le=1, description="share")
    max_imu_saturated_share: float | None = Field(default=None, ge=0, le=1, description="share")
    max_imu_still_share: float | None = Field(default=None, ge=0, le=1, description="share")
    max_frame_error_ms: float | None = Field(
        default=None, gt=0, description="furthest used frame from its grid time"
    )
    max_frames_missing: int | None = Field(default=None, ge=0, description="grid frames")
    max_abs_lag_ms: float | None = Field(
        default=None, gt=0, description="the take's measured lag, either way"
    )
    min_lag_confidence: float | None = Field(
        default=None, ge=0, le=1, description="of the take's lag; takes it cannot be told for fall"
    )
    max_narrations_per_minute: float | None = Field(default=None, gt=0, description="density")
    max_overlaps: int | None = Field(default=None, ge=0, description="segments that meet it")
    drop_ambiguous: bool = Field(
        default=False, description="segments with more than one sentence in the window"
    )
