"""How much of anybody's data is read. One place for every limit; a public page may set smaller ones on top.

They hold for files of any kind before they are unpacked, for rows while they are read, and for the texts of a
data set on the Hub. Together they keep the reading of the worst file under 2 GB of memory: an ASCII file with
one emoji a line takes four times its size as text, and an empty JSON object of two bytes takes 64.
"""

from __future__ import annotations

MAX_FILE_BYTES = 100_000_000
"""Of a file, and of the texts of a Parquet file or of a data set on the Hub once they are unpacked."""
MAX_DOWNLOAD_BYTES = 2_000_000_000
"""Of the files of one data set on the Hub."""
MAX_LINES = 5_000_000
MAX_LINE_BYTES = 4_000_000
MAX_ROWS = 200_000
"""Of any source. A file with more is refused; of a larger data set on the Hub a sample of this size is taken."""
MAX_COLUMNS = 1_000
MAX_CELLS = 5_000_000
"""Rows times columns; for JSON the values that are there."""
MAX_NAME_CHARS = 200
"""Of a column's name."""
MAX_CELL_CHARS = 100_000
"""Of one text: several times what any model here can read."""
MAX_BRACKETS = 4_000_000
"""Of `[` and `{` in a JSON or JSON Lines file: every one becomes an object of up to 200 bytes."""
