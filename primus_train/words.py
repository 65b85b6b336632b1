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
    if command == "study":
        return _say_study(report)
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
    elif command == "zeroshot":
        origin = report["prompts"]
        of_what = (
            f"{sum(origin['sentences'].values())} {origin['kind']}"
            f"{' of labelled train segments' if origin['seen_labels'] else ''}"
        )
        lines.append(
            f"{report['objective']} on {report['version']}, zero-shot from {of_what}, "
            f"{len(report['classes'])} classes"
        )
        lines += [
            f"  {row['split']:5} accuracy {_percent(row['accuracy'])}, balanced "
            f"{_percent(row['balanced_accuracy'])}, macro-F1 {_percent(row['macro_f1'])}, "
            f"n {row['n']}, chance {_percent(row['chance'])}"
            f"{' near chance' if row['near_chance'] else ''}"
            for row in report["rows"]
        ]
    elif command == "retrieve":
        lines.append(f"{report['objective']} on {report['version']}, {'+'.join(report['splits'])}")
        for name, s in report.items():
            if "_to_" in name:
                asked = "" if s["queries"] == s["n"] else f"{s['queries']} queries, "
                lines.append(
                    f"  {name}: R@1 {_percent(s['r_at_1'])}, R@5 {_percent(s['r_at_5'])}, "
                    f"R@10 {_percent(s['r_at_10'])}, MRR {s['mrr']:.4f}, {asked}n {s['n']}, "
                    f"chance {_percent(s['chance'])}"
                )
        for name in ("alignment", "uniformity"):
            values = report["sphere"][name]
            told = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
            lines.append(f"  {name}: {told}, n {report['sphere']['n']}")
    return "\n".join(lines)


def _say_study(report: dict[str, Any]) -> str:
    if "studies" in report:
        return "\n\n".join(map(_say_study, report["studies"].values()))
    lines = [report["tables"]]
    for kind in ("runs", "probes"):
        told = ", ".join(f"{count} {word}" for word, count in report[kind].items())
        lines.append(f"{kind}: {told}")
    lines += [f"failed: {one['what']}: {one['reason']}" for one in report["failures"]]
    return "\n".join([*lines, *report["files"]])
