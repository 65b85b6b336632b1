"""Lay picture, sound and metadata of a GoPro clip into one mp4, packet by packet."""

import heapq
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.stream import Stream

__all__ = ["mux_clip"]

_MS: Final = Fraction(1, 1000)


def mux_clip(
    path: Path,
    *,
    picture: Path,
    payloads: Iterable[tuple[int, bytes]],
    sound: Path | None = None,
    picture_start: Fraction = Fraction(0),
) -> None:
    """Write an mp4 of a picture, a sound and a metadata track; nothing is encoded again.

    Args:
        path: file to write.
        picture: mp4 whose first stream is the picture.
        payloads: (ms, bytes) in time order; none makes a clip without a metadata track.
        sound: mp4 whose first stream is the sound.
        picture_start: seconds after the metadata track's zero at which picture and sound begin.
    """
    rest = iter(payloads)
    ahead = next(rest, None)
    with (
        av.open(str(picture)) as video,
        av.open(str(sound or picture)) as audio,
        av.open(str(path), "w") as container,
    ):
        sources: list[Iterator[tuple[Fraction, int, av.Packet[Stream]]]] = []
        inputs: list[tuple[InputContainer, Stream]] = [(video, video.streams.video[0])]
        if sound is not None:
            inputs.append((audio, audio.streams.audio[0]))
        for source, stream in inputs:
            # Opaque: some pictures have a decoder alone here.
            out = container.add_stream_from_template(stream, opaque=True)
            sources.append(_copy(source, stream, out=out, later=picture_start))
        if ahead is not None:
            track = container.add_data_stream("bin_data")
            track.time_base = _MS
            sources.append(_metadata(chain([ahead], rest), out=track))
        for _, _, packet in heapq.merge(*sources, key=lambda entry: entry[:2]):
            container.mux(packet)


def _copy(
    source: InputContainer, stream: Stream, *, out: Stream, later: Fraction
) -> Iterator[tuple[Fraction, int, "av.Packet[Stream]"]]:
    for packet in source.demux(stream):
        if packet.dts is None or packet.pts is None:
            continue  # the demuxer's last, empty packet
        assert packet.time_base is not None
        shift = round(later / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        packet.stream = out
        yield packet.dts * packet.time_base, out.index, packet


def _metadata(
    payloads: Iterable[tuple[int, bytes]], *, out: Stream
) -> Iterator[tuple[Fraction, int, "av.Packet[Stream]"]]:
    for at_ms, data in payloads:
        packet = av.Packet(data)
        packet.stream, packet.time_base = out, _MS
        packet.pts = packet.dts = at_ms
        packet.duration, packet.is_keyframe = 1001, True
        yield at_ms * _MS, out.index, packet
