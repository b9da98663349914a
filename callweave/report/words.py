"""Numbers as people read them."""


def whole(count: float | None) -> str:
    """12,345."""
    return "0" if count is None else f"{int(count):,}"


def percent(share: float | None) -> str:
    """57.3 %; a dash where nothing was divided by."""
    return "-" if share is None else f"{100 * share:.1f} %"


def duration(seconds: float | None) -> str:
    """29 s, 4:05, 3:04:05; a dash where there is none."""
    if seconds is None:
        return "-"
    rounded = round(seconds)
    minutes, rest = divmod(rounded, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"
