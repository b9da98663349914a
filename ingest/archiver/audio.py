"""What the bytes of a file are: audio that can be played, or something that only calls itself so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mutagen
from mutagen import MutagenError

_SUFFIXES: Final = {
    "audio/mp3": ".mp3",
    "audio/wav": ".wav",
    "audio/vorbis": ".ogg",
    "audio/ogg": ".ogg",
    "audio/mp4": ".m4a",
    "audio/flac": ".flac",
    "audio/aac": ".aac",
    "audio/aiff": ".aiff",
    "audio/x-wavpack": ".wv",
}


class NotAudioError(Exception):
    """The bytes are no audio. The message says what was found, without any of it."""


@dataclass(frozen=True, slots=True)
class Audio:
    """What the file says of itself."""

    content_type: str
    duration_seconds: float
    suffix: str


def look_at(path: Path) -> Audio:
    """Read the file's own headers. Raises NotAudioError."""
    try:
        with path.open("rb") as file:
            found = mutagen.File(fileobj=file, filename=None)
    except MutagenError as exc:
        raise NotAudioError(f"the audio cannot be read ({type(exc).__name__})") from None
    if found is None or found.info is None:
        raise NotAudioError("what came is no audio")
    seconds = float(getattr(found.info, "length", 0.0))
    if seconds <= 0:
        raise NotAudioError("the audio lasts no time")
    content_type = str(found.mime[0])
    return Audio(content_type, round(seconds, 3), _SUFFIXES.get(content_type, ".audio"))
