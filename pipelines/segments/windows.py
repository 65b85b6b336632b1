"""Choose the segment a narration describes."""

from schemas.manifest import Drop
from schemas.time import NS_PER_S, Interval, round_to_step_ns

__all__ = ["TAKE_SHORTER", "published_window", "segment_around"]

TAKE_SHORTER = "take_shorter_than_segment"


def segment_around(t_ns: int, *, take: Interval, length_ns: int, step_ns: int) -> Interval | Drop:
    """Return the segment of ``length_ns`` centred on ``t_ns``, slid inwards at the take's edges.

    Segments never shrink, and start on a multiple of ``step_ns``: every window of a run is an
    exact slice with the same number of samples.

    Raises:
        ValueError: if ``t_ns`` is outside ``take``; the plan has already dropped such narrations.
    """
    _require_inside(t_ns, take=take)
    earliest_ns = -(-take.start_ns // step_ns) * step_ns
    latest_ns = (take.end_ns - length_ns) // step_ns * step_ns
    if latest_ns < earliest_ns:
        return Drop(TAKE_SHORTER)
    centred_ns = round_to_step_ns(t_ns - length_ns // 2, step_ns=step_ns)
    start_ns = min(max(centred_ns, earliest_ns), latest_ns)
    return Interval(start_ns, start_ns + length_ns)


def published_window(t_ns: int, *, take: Interval, length_ns: int, step_ns: int) -> Interval | Drop:
    """Return the window the published PRIMUS code takes for a narration at ``t_ns``.

    Up to one length into the take it is the first window; within one length of the end it is the
    last; elsewhere it is centred. Both ends are then floored to whole seconds of the take, so that
    a window can sit a second early. A window that ends after the take is dropped. Where the take
    does not start on a multiple of ``step_ns``, seconds are counted from its first one.

    Args:
        t_ns: instant of the narration, take clock.
        take: span of the take.
        length_ns: length of the window, a whole number of seconds.
        step_ns: starts are multiples of this, which divides a second.

    Raises:
        ValueError: if ``t_ns`` is outside ``take`` or the length is no whole number of seconds.
    """
    _require_inside(t_ns, take=take)
    if length_ns % NS_PER_S:
        raise ValueError(f"length_ns must be a whole number of seconds, got {length_ns}")
    first_ns = -(-take.start_ns // step_ns) * step_ns
    into_ns, room_ns = t_ns - first_ns, take.end_ns - first_ns
    if into_ns <= length_ns:
        offset_ns = 0
    elif into_ns + length_ns >= room_ns:
        offset_ns = room_ns // NS_PER_S * NS_PER_S - length_ns
    else:
        offset_ns = (into_ns - length_ns // 2) // NS_PER_S * NS_PER_S
    if offset_ns + length_ns > room_ns:
        return Drop(TAKE_SHORTER)
    start_ns = first_ns + offset_ns
    return Interval(start_ns, start_ns + length_ns)


def _require_inside(t_ns: int, *, take: Interval) -> None:
    if not take.contains(t_ns):
        raise ValueError(f"t_ns must lie in [{take.start_ns}, {take.end_ns}), got {t_ns}")
