"""Faust's monitor without its work: it keeps times and counts of every message in Python, a third of the worker's cost.

A public setting (`Monitor=`); what callweave counts is in `streams.metrics`. faust.md part 2, second row.
"""

from typing import Any

from faust import Monitor
from typing_extensions import override


class QuietMonitor(Monitor):
    """Does nothing for each message and each table access; still there for what asks it how long things take."""

    @override
    def on_message_in(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def on_message_out(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def on_stream_event_in(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def on_stream_event_out(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def on_topic_buffer_full(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def on_send_initiated(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def on_send_completed(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def track_tp_end_offset(self, *args: Any, **kwargs: Any) -> None:
        pass
