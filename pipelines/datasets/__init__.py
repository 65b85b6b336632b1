"""Dataset folders to take records, narrations and IMU samples; one file a dataset."""

__all__: list[str] = []
