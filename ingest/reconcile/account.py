"""Who asks TCCC's API: a key, and what it is asked about."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Account:
    """One secret and the applications it may read. `endpoint` None is Tencent's own; it may be a simulator's."""

    name: str
    secret_id: str
    secret_key: str = field(repr=False)
    sdk_app_ids: tuple[int, ...] = ()
    region: str = ""
    endpoint: str | None = None
