"""IMU encoders."""

__all__: list[str] = []
