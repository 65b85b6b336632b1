"""One frozen model per stage; every field says its unit. Unknown keys are refused."""

from pipelines.config.dataset import BodyPosition, DatasetConfig, DatasetName
from pipelines.config.embedding import EncoderConfig, TextConfig
from pipelines.config.execution import ExecutionConfig, PlanConfig
from pipelines.config.imu import ImuConfig
from pipelines.config.load import load_config
from pipelines.config.prep import PrepConfig
from pipelines.config.quality import AuditConfig, QualityConfig
from pipelines.config.segments import SegmentsConfig
from pipelines.config.slurm import SlurmConfig
from pipelines.config.splits import SplitConfig
from pipelines.config.store import StoreConfig
from pipelines.config.video import VideoConfig

__all__ = [
    "AuditConfig",
    "BodyPosition",
    "DatasetConfig",
    "DatasetName",
    "EncoderConfig",
    "ExecutionConfig",
    "ImuConfig",
    "PlanConfig",
    "PrepConfig",
    "QualityConfig",
    "SegmentsConfig",
    "SlurmConfig",
    "SplitConfig",
    "StoreConfig",
    "TextConfig",
    "VideoConfig",
    "load_config",
]
