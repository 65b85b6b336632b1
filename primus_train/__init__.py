"""Pretrain IMU encoders from published stores, and probe them; knows stores, never datasets."""

__all__: list[str] = []
