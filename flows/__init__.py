"""Orchestration: Prefect flows, executors and the primus-prep program."""

__all__: list[str] = []
