"""What the bytes of a file are: audio that can be played, or something that only calls itself so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinytag import TinyTag, TinyTagException

_KINDS: Final = {
    "_MPEG": ("audio/mpeg", ".mp3"),
    "_ID3": ("audio/mpeg", ".mp3"),
    "_Wave": ("audio/wav", ".wav"),
    "_Ogg": ("audio/ogg", ".ogg"),
    "_MP4": ("audio/mp4", ".m4a"),
    "_Flac": ("audio/flac", ".flac"),
    "_Aiff": ("audio/aiff", ".aiff"),
    "_ASF": ("audio/x-ms-wma", ".wma"),
}
"""By the reader that tinytag chose for the bytes."""


class NotAudioError(Exception):
    """The bytes are no audio. The message says what was found, without any of it."""


@dataclass(frozen=True, slots=True)
class Audio:
    """What the file says of itself."""

    content_type: str
    duration_seconds: float
    suffix: str


def look_at(path: Path) -> Audio:
    """Read the file's own headers, whatever it is called. Raises NotAudioError."""
    try:
        with path.open("rb") as file:
            found = TinyTag.get(filename=None, file_obj=file, tags=False)
    except TinyTagException as exc:
        raise NotAudioError(f"what came is no audio ({type(exc).__name__})") from None
    except (ValueError, IndexError, KeyError, ArithmeticError) as exc:  # a header that lies
        raise NotAudioError(f"the audio cannot be read ({type(exc).__name__})") from None
    if not found.duration or found.duration <= 0:
        raise NotAudioError("the audio lasts no time")
    content_type, suffix = _KINDS.get(type(found).__name__, ("audio/unknown", ".audio"))
    return Audio(content_type, round(found.duration, 3), suffix)
