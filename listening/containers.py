"""WAV and MP4 files taken apart, to see whether they hold more than sound and pictures."""

from pathlib import Path
from typing import Any

from doppelbench.corpora.errors import InputError


def wav_chunks(path: Path) -> list[tuple[str, bytes]]:
    """Chunks of a WAV file in their order, with what follows the last one as ``(rest)``.

    Raises:
        InputError: not a WAV file.
    """
    content = path.read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise InputError(f"{path}: not a WAV file")
    end = min(len(content), 8 + int.from_bytes(content[4:8], "little"))
    place, chunks = 12, []
    while place + 8 <= end:
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        name = content[place : place + 4].decode("latin-1")
        chunks.append((name, content[place + 8 : min(end, place + 8 + length)]))
        place += 8 + length + length % 2
    rest = content[min(end, place) :]
    return [*chunks, ("(rest)", rest)] if rest else chunks


def mp4_boxes(path: Path) -> list[tuple[str, int]]:
    """Names and sizes of the outermost boxes of an MP4 file."""
    total = path.stat().st_size
    boxes: list[tuple[str, int]] = []
    with open(path, "rb") as file:
        place = 0
        while place + 8 <= total:
            file.seek(place)
            size = int.from_bytes(file.read(4), "big")
            name = file.read(4).decode("latin-1")
            if size == 1:
                size = int.from_bytes(file.read(8), "big")
            if size < 8 or place + size > total:
                return [*boxes, (repr(name), total - place)]
            boxes.append((name, size))
            place += size
    return boxes


def film_format(path: Path) -> tuple[Any, dict[str, str]]:
    """Codecs, sizes and rates of the streams, and all tags."""
    import av

    try:
        with av.open(str(path)) as container:
            tags, streams = dict(container.metadata), []
            for stream in container.streams:
                tags |= stream.metadata
                context: Any = stream.codec_context
                rate = context.sample_rate if stream.type == "audio" else stream.average_rate
                size = (context.width, context.height) if stream.type == "video" else None
                streams.append((stream.type, context.name, context.profile, rate, size))
            return streams, tags
    except av.FFmpegError as error:
        raise InputError(f"{path}: {error}") from None
