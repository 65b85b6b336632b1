"""Reports in words, for people at a terminal."""

from typing import Any

__all__ = ["say"]


def _percent(value: float | None, error: float | None = None) -> str:
    if value is None:
        return "n/a"
    return f"{100 * value:.1f}" + ("" if error is None else f" ± {100 * error:.1f}") + " %"


def say(command: str, report: dict[str, Any]) -> str:
    """Return a report in words."""
    if command == "lineage":
        from primus_train.lineage import RunLineage, print_run_lineage

        return print_run_lineage(RunLineage.model_validate(report))
    lines = ["reused: the same result was there already"] if report["reused"] else []
    if command == "fit":
        best = report["best"]
        lines.append(
            f"run {report['run']}: {report['objective']} on {report['store']['version']}, "
            f"{report['steps']} steps of {report['train_rows']} train rows in "
            f"{report['seconds']:.1f} s, loss {report['loss']:.4f}, best {best['metric']} "
            f"{best['value']:.4f} after epoch {best['epoch'] + 1}"
        )
    elif command == "import-checkpoint":
        windows = report["imu"]
        lines.append(
            f"run {report['run']}: {report['objective']} imported from "
            f"{report['imported']['file']}, layout {report['imported']['layout']}, for windows of "
            f"{windows['samples']} samples at {windows['rate_hz']} Hz"
        )
    elif command == "export":
        lines.append(
            f"{report['file']}: {report['representation']} as {report['format']}, "
            f"{report['bytes'] / 1e6:.1f} MB, differs from PyTorch by "
            f"{report['largest_difference']:.1e} at most; its card is {report['card']}"
        )
    elif command == "probe":
        lines.append(
            f"{report['encoder']} {report['objective']} on {report['version']}, "
            f"{report['protocol']} on {report['representation']}, {len(report['classes'])} classes"
        )
        for row in report["rows"]:
            why = f" ({row['reason']})" if row["reason"] else ""
            flag = " near chance" if row["near_chance"] else ""
            lines.append(
                f"  {row['split']:5} {row['shots']:4} shots: accuracy "
                f"{_percent(row['accuracy'], row['accuracy_se'])}, macro-F1 "
                f"{_percent(row['macro_f1'], row['macro_f1_se'])}, n {row['n']}, "
                f"{row['trials']} trials{flag}{why}"
            )
    else:
        lines.append(f"{report['objective']} on {report['version']}, {'+'.join(report['splits'])}")
        for name in ("imu_to_video", "imu_to_text"):
            if name in report:
                s = report[name]
                lines.append(
                    f"  {name}: R@1 {_percent(s['r_at_1'])}, R@5 {_percent(s['r_at_5'])}, "
                    f"R@10 {_percent(s['r_at_10'])}, MRR {s['mrr']:.4f}, n {s['n']}, "
                    f"chance {_percent(s['chance'])}"
                )
    return "\n".join(lines)
