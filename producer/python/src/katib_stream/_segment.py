"""One file of the spool that is being written: an append-only segment, locked by its process.

A segment is what :mod:`katib_stream._outbox` copies accepted events to, and what the next process delivers. Events are
copied into a memory-mapped page, without a system call: a call that gives up the interpreter's lock would cost the
training thread more than the copy.
"""

from __future__ import annotations

import json
import mmap
import os
import stat
from zlib import crc32

from ._format import EVENT, FINAL, FRAME, HALVES, HEADER, MAGIC, MARK, SETTLED, SPLIT, align

try:
    import fcntl
except ImportError:  # no spool on this system, only memory
    fcntl = None  # type: ignore[assignment]

_GROWTH = 64 << 10  # bytes

_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

_frame = FRAME.pack


def event_mark(number: int) -> bytes:
    """Gives how the record of an event of this message begins, for :meth:`Segment.append`."""
    return MARK.pack(EVENT, number)


# What is open in this process, for a fork's child to close: a lock is given up when all copies of the file are closed.
_open: set[int] = set()


def close_all() -> None:
    """Closes the files that a fork's child has inherited, which go on being its parent's."""
    for fd in list(_open):
        _close(fd)


def _close(fd: int) -> None:
    _open.discard(fd)
    os.close(fd)


class Segment:
    """A segment that is being written, or that was left behind. The lock is this process's as long as it is open.

    It is not safe for concurrent use.
    """

    def __init__(self, path: str, fd: int, offset: int) -> None:
        self.path = path
        self.fd = fd
        self.offset = offset  # where the next record begins
        self.size = os.fstat(fd).st_size
        self.aside = False  # holds what can never be delivered
        self._map: mmap.mmap | None = None

    def open_map(self) -> None:
        """Maps the file, so that events can be appended."""
        self._map = mmap.mmap(self.fd, self.size)

    def close_map(self) -> None:
        """Ends the appending of events."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def append(self, mark: bytes, line: bytes) -> bool:
        """Copies an event into the segment; false when it does not fit."""
        body = mark + line
        begin = self.offset
        end = (begin + 15 + len(body)) & ~7
        if end > self.size or self._map is None:
            return False
        # The whole record in one copy: when the process dies in the middle of it, the checksum tells.
        self._map[begin : begin + 8 + len(body)] = _frame(len(body), crc32(body)) + body
        self.offset = end
        return True

    def has_room(self, size: int) -> bool:
        """Says whether an event whose line has so many bytes fits."""
        return align(self.offset + 8 + MARK.size + size) <= self.size

    def half_full(self) -> bool:
        """Says whether it is time to think of the next one."""
        return self.offset * 2 > self.size

    def settle(self, number: int) -> None:
        """Notes that the stream has the message. Raises OSError."""
        self._note(MARK.pack(SETTLED, number))

    def final(self, number: int) -> None:
        """Notes that the message is the producer's last. Raises OSError."""
        self._note(MARK.pack(FINAL, number))

    def split(self, number: int, keeps: int, rest: int) -> None:
        """Notes that the message keeps its first events, and that the others are the message `rest`. Raises OSError."""
        self._note(MARK.pack(SPLIT, number) + HALVES.pack(keeps, rest))

    def _note(self, body: bytes) -> None:
        end = align(self.offset + 8 + len(body))
        if end > self.size:
            _allocate(self.fd, self.size, _GROWTH)
            self.size += _GROWTH
            if self._map is not None:
                self.close_map()
                self.open_map()
        record = _frame(len(body), crc32(body)) + body
        if self._map is not None:
            self._map[self.offset : self.offset + len(record)] = record
        else:
            os.pwrite(self.fd, record, self.offset)
        self.offset = end

    def close(self) -> None:
        """Gives the lock back. What was not removed is for the next process."""
        self.close_map()
        if self.fd in _open:
            _close(self.fd)

    def remove(self) -> None:
        """Removes the file, or sets it aside when it holds what can never be delivered, and closes it."""
        try:
            if self.aside:
                self.hide()
            else:
                os.unlink(self.path)
        finally:
            self.close()

    def hide(self) -> None:
        """Renames the file, so that nobody delivers it. Raises OSError."""
        if not self.path.endswith(".aside"):
            os.rename(self.path, self.path + ".aside")
            self.path += ".aside"


def create(path: str, size: int, description: dict[str, str]) -> Segment:
    """Makes a segment of `size` bytes, locked and mapped. Raises OSError, also when the disk is full."""
    text = json.dumps(description, separators=(",", ":")).encode()
    header = HEADER.pack(MAGIC, len(text), crc32(text)) + text
    temporary = path + ".tmp"
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    _open.add(fd)
    try:
        if not lock(fd):
            raise BlockingIOError(f"lock {temporary}: somebody else holds it")
        _allocate(fd, 0, max(size, align(len(header))))
        os.pwrite(fd, header, 0)
        made = Segment(path, fd, align(len(header)))
        made.open_map()
        os.rename(temporary, path)
    except BaseException:
        _close(fd)
        _unlink(temporary)
        _unlink(path)  # when a signal's handler raised just after the rename
        raise
    return made


def claim(path: str) -> Segment | None:
    """Opens a segment that a dead process left; None when somebody else has it, or it is gone. Raises OSError."""
    try:
        # A link would lead out of the folder, and a pipe would wait for somebody to write.
        fd = os.open(path, os.O_RDWR | _SAFELY)
    except FileNotFoundError:
        return None
    _open.add(fd)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode) and lock(fd) and _is_at(path, fd):
            return Segment(path, fd, 0)
    except BaseException:
        _close(fd)
        raise
    _close(fd)
    return None


def lock(fd: int) -> bool:
    """Locks an open file for this process; false when another has it. Raises OSError."""
    if fcntl is None:
        raise OSError("this system has no flock, which the spool needs")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: str, fd: int) -> bool:
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))


def _allocate(fd: int, offset: int, size: int) -> None:
    # A hole in the file would be filled when its page is written, and a full disk would then be a SIGBUS.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, offset, size)
        return
    for place in range(offset, offset + size, _GROWTH):
        os.pwrite(fd, bytes(min(_GROWTH, offset + size - place)), place)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
