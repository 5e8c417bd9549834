"""A folder of segments: files that outlive the processes that accepted what is in them. docs/spool.md describes it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from itertools import count
from typing import Callable

from . import _content, _segment
from ._content import Content
from ._contract import InvalidEvent
from ._format import align
from ._say import say
from ._segment import Segment
from ._subject import Subject

#: What all files of the folder may take together, in bytes.
SPOOL_BYTES = 256 << 20
#: How large a file is made, in bytes. A larger event gets a larger one.
SEGMENT_BYTES = 1 << 20

_SUFFIX = ".spool"
_RETRY = 10.0  # seconds after which a folder is tried again that took no file
_STALE = 60.0  # seconds after which a file is given up that nobody finished making


class _BoundReachedError(OSError):
    """The folder would become larger than it may."""


class Spool:
    """The folder, as one producer of one trial uses it. What goes wrong with it is said once, and is nobody's error."""

    def __init__(self, folder: str, limit: int, namespace: str, trial: str) -> None:
        self.folder = folder
        self._limit = limit
        self._names = {"namespace": namespace, "trial": trial}
        self._index = count(1)  # the training thread and the delivery thread both make files
        self._failed = -_RETRY  # when the last file could not be made
        self._made = False  # a file, ever
        self._warned = False
        self._reported: set[str] = set()  # files that were told of
        self._skipped: set[str] = set()  # files that this process may not deliver, or cannot remove

    def create(self, producer: str, need: int = 0) -> Segment | None:
        """Makes the producer's next file, with room for an event of `need` bytes; None when that does not go."""
        now = time.monotonic()
        if now - self._failed < _RETRY:
            return None
        size = max(SEGMENT_BYTES, align(need + 512))
        try:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            self._check_bound(size)
            path = os.path.join(self.folder, f"{producer}-{next(self._index)}{_SUFFIX}")
            made = _segment.create(path, size, {**self._names, "producer": producer})
        except (OSError, ValueError) as err:
            self._failed = now
            if not self._warned:
                full = self._made or isinstance(err, _BoundReachedError)
                what = "the spool takes no more" if full else "the spool cannot be used"
                say(f"{what} ({err}); what is reported is kept in memory only")
            self._warned = True
            return None
        self._warned = False
        self._made = True
        return made

    def _check_bound(self, size: int) -> None:
        held = sum(_size(os.path.join(self.folder, name)) for name in os.listdir(self.folder) if _SUFFIX in name)
        if held + size > self._limit:
            raise _BoundReachedError(f"{self.folder} holds {held} bytes, and one more file would exceed {self._limit}")

    def note(self, segment: Segment, write: Callable[[Segment], None]) -> bool:
        """Writes a note about a message; false when that does not go."""
        try:
            write(segment)
        except OSError as err:
            if segment.path not in self._reported:
                say(f"a note on what was delivered cannot be written: {err}; the next start may send it again")
            self._reported.add(segment.path)
            return False
        return True

    def remove(self, segment: Segment) -> None:
        """Removes a file from which everything is delivered, or sets it aside."""
        try:
            segment.remove()
        except OSError as err:
            say(f"a file of the spool cannot be removed: {err}")
            self.skip(segment.path)
            return
        if segment.aside:
            say(f"what could not be delivered from the spool is kept in {segment.path}")

    def skip(self, path: str) -> None:
        """Leaves a file to others."""
        self._skipped.add(path)

    def hide(self, segment: Segment) -> None:
        """Has nobody deliver a file that does not say any more what belongs to its messages."""
        try:
            segment.hide()
        except OSError as err:
            say(f"a file of the spool cannot be set aside: {err}")

    def leftovers(self) -> Iterator[tuple[Segment, Content]]:
        """Claims what dead processes left, one file after the other."""
        for path in self._files():
            try:
                yield from self._leftover(path)
            except OSError as err:
                if path not in self._reported:
                    say(f"a file of the spool cannot be read: {err}")
                self._reported.add(path)

    def _files(self) -> list[str]:
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return []
        for name in names:
            if name.endswith(_SUFFIX + ".tmp"):
                self._remove_stale(os.path.join(self.folder, name))
        return [
            os.path.join(self.folder, name)
            for name in names
            if name.endswith(_SUFFIX) and os.path.join(self.folder, name) not in self._skipped
        ]

    def _leftover(self, path: str) -> Iterator[tuple[Segment, Content]]:
        segment = _segment.claim(path)
        if segment is None:
            return
        try:
            with open(segment.fd, "rb", closefd=False) as file:
                content = _content.read(file.read())
            of = content.description
            Subject(of["namespace"], of["trial"], of["producer"]).check()
        except OSError:
            segment.close()
            raise
        except (_content.BadSegmentError, InvalidEvent) as err:
            say(f"{path} is no file of the spool: {err}")
            segment.aside = True
            self.remove(segment)
            return
        segment.offset = content.end
        segment.aside = content.damaged
        yield segment, content

    def _remove_stale(self, path: str) -> None:
        try:
            if time.time() - os.stat(path).st_mtime < _STALE:
                return
            segment = _segment.claim(path)
            if segment is not None:
                segment.remove()
        except OSError:
            return  # somebody else's


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:  # another process has renamed or removed it meanwhile
        return 0


def default_folder() -> str:
    """Gives the folder that is used when none is given. Raises OSError when others could put files there."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    # As Go has it, so that both find what the other left.
    folder = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"katib-stream-spool-{uid}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o022:
            raise OSError(
                f"{folder} is not a folder that only this user may write to; set KATIB_STREAM_SPOOL to another"
            ) from None
    return folder
