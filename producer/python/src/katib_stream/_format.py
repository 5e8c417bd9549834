"""The layout of a file of the spool, which docs/spool.md describes."""

from __future__ import annotations

import struct

MAGIC = b"KSSPOOL1"
#: Kinds of records.
EVENT, SPLIT, SETTLED, FINAL = 1, 2, 3, 4
#: Magic, length and checksum of the description.
HEADER = struct.Struct("<8sII")
#: Length and checksum of a record's body.
FRAME = struct.Struct("<II")
#: How a record's body begins: its kind, and the number of the message.
MARK = struct.Struct("<BQ")
#: The payload of a split: how many events the message keeps, and the number of the message that has the others.
HALVES = struct.Struct("<IQ")
#: How long a description may be, in bytes.
MAX_DESCRIPTION = 4096


def align(offset: int) -> int:
    """Gives the place of the next record."""
    return (offset + 7) & ~7
