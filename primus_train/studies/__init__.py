"""The paper's figures and tables: plans of runs and probes, and what is drawn of them."""

__all__: list[str] = []
