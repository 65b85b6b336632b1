"""IMU files to samples, and samples to the 50 Hz grid."""

__all__: list[str] = []
