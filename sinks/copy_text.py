r"""Arrow -> PostgreSQL's COPY text format, column by column, without a Python loop over the cells.

Text, not CSV: servers before 18 take a line `\.` inside a quoted CSV value for the end of the data.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_NEEDS_ESCAPE: Final = r"[\\\t\n\r]"
_NULL: Final = "\\N"


def copy_text(table: pa.Table) -> bytes:
    """Every row as a line; the receiving session's time zone must be UTC."""
    if table.num_rows == 0:
        return b""
    cells = [_cells(column) for column in table.combine_chunks().columns]
    lines = pc.binary_join_element_wise(*cells, _scalar("\t"))
    ended = pc.binary_join_element_wise(lines, _scalar(""), _scalar("\n"))
    whole = ended.combine_chunks() if isinstance(ended, pa.ChunkedArray) else ended
    # The lines stand one behind the other in the array's own memory: nothing is left to be joined.
    return bytes(pc.binary_join(pa.LargeListArray.from_arrays([0, len(whole)], whole), _scalar(""))[0].as_buffer())


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_binary(kind):
        texts = [None if value is None else f"\\\\x{value.hex()}" for value in column.to_pylist()]
        return pc.fill_null(pa.chunked_array([pa.array(texts, pa.large_string())]), _scalar(_NULL))
    if pa.types.is_timestamp(kind):
        # By way of a zoneless time: writing a zone would need the machine's zone database.
        column = column.cast(pa.timestamp("us"))
    text = column.cast(pa.large_string())
    if pa.types.is_string(kind) and pc.any(pc.match_substring_regex(text, _NEEDS_ESCAPE)).as_py():
        for character, escaped in _ESCAPES:
            text = pc.replace_substring(text, character, escaped)
    return pc.fill_null(text, _scalar(_NULL))


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
