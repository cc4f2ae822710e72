"""Reads what instances have printed: over rotations, from where it was asked for, with their secrets taken out."""

import bisect
import contextlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator

from reconciler.core.hiding import HIDDEN, SHORTEST_SECRET, longest_first, parts
from reconciler.core.running import LONGEST_LINE, LogAsk, LogLine
from reconciler.drivers.process.log_files import PIECE, File, Times, count, inode_of, opened
from reconciler.drivers.process.shim.output import NAME

# Files are moved one after the other, in less than this; whoever stopped in the middle of it is not waited for.
MOVED_S, MOVING = 0.001, 50


class Hidden:
    """Takes secrets out of bytes, as `hide_secrets` does out of text."""

    def __init__(self, secrets: Collection[str]) -> None:
        listed = [secret for secret in secrets if secret.strip()]
        self._parts = [part.encode() for part in longest_first(part for secret in listed for part in parts(secret))]
        short = longest_first(secret.strip() for secret in listed if len(secret.strip()) < SHORTEST_SECRET)
        self._words = [re.compile(rb"(?<!\w)" + re.escape(word.encode()) + rb"(?!\w)") for word in short]
        # 0 where there is nothing to hide.
        self.longest = max((*map(len, self._parts), *(SHORTEST_SECRET * 4 for _ in short)), default=0)

    def __call__(self, raw: bytes) -> bytes:
        for part in self._parts:
            if part in raw:
                raw = raw.replace(part, HIDDEN.encode())
        for word in self._words:
            raw = word.sub(HIDDEN.encode(), raw)
        return raw

    def place(self, line: bytes) -> int:
        """Where a long line may be cut so that no secret is cut in two."""
        place = LONGEST_LINE
        for part in self._parts:
            found = line.find(part, max(0, place - len(part) + 1), place + len(part) - 1)
            if found >= 0:
                place = found or len(part)
        return place


def read(directory: str, ask: LogAsk, secrets: Collection[str], over: Callable[[], bool]) -> Iterator[LogLine | None]:
    """What was asked for, oldest first; while following, None whenever there is no more just now, and an end when there never
    will be. `over` says whether nobody writes any more."""
    hidden = Hidden(secrets)
    try:
        begun = _begin(directory, ask)
    except FileNotFoundError:
        return
    if begun is None:
        if not ask.follow or ask.previous:
            return
        yield None
        begun = _wait(directory, over)
    if begun is not None:
        with contextlib.closing(_Reader(directory, *begun, hidden)) as reader:
            yield from reader.follow(over) if ask.follow and not ask.previous else reader.rest()


def _wait(directory: str, over: Callable[[], bool]) -> "tuple[File, int, tuple[int, int]] | None":
    """A log that is there but empty was found by `_begin`; this is for one that is not there yet."""
    file = opened(directory, 0)
    return None if file is None or over() else (file, 0, (file.inode, 0))


class _Reader:
    """From `offset` in a file up to `end` (inode and offset), in lines."""

    def __init__(self, directory: str, file: File, offset: int, end: tuple[int, int], hidden: "Hidden") -> None:
        self._directory, self._file, self._offset, self._end, self._hide = directory, file, offset, end, hidden
        # So much is kept back of a piece that a secret in it is seen whole.
        self._longest = LONGEST_LINE + hidden.longest
        self._held = b""

    def close(self) -> None:
        self._file.close()

    def rest(self) -> Iterator[LogLine]:
        while True:
            last = self._file.inode == self._end[0]
            room = self._end[1] - self._offset - len(self._held) if last else PIECE
            data = os.pread(self._file.fd, max(0, min(PIECE, room)), self._offset + len(self._held))
            if data:
                yield from self._lines(data)
            elif last or not self._next():
                yield from self._flush()
                return

    def follow(self, over: Callable[[], bool]) -> Iterator[LogLine | None]:
        while True:
            ended = over()
            data = os.pread(self._file.fd, PIECE, self._offset + len(self._held))
            if data:
                yield from self._lines(data)
            elif self._file.size < self._offset:
                self._file.truncated()
                self._offset, self._held = 0, b""
            elif not self._next():
                if ended:
                    yield from self._flush()
                    return
                if not self._hide.longest:
                    # A question at the end of a line waits for its answer: it must be seen. Not where half of it may be secret.
                    yield from self._flush()
                yield None

    def _next(self) -> bool:
        """Go on with the file that came after this one; False when this is the newest, or there is more in it."""
        for _ in range(MOVING):
            if self._file.dropped:
                # What is oldest now comes next.
                place = max(count(self._directory, NAME), 1)
            else:
                numbers = range(count(self._directory, NAME) + 1)
                place = next((number for number in numbers if inode_of(self._directory, number) == self._file.inode), -1)
            if place == 0:
                return False
            newer = opened(self._directory, place - 1) if place > 0 else None
            # The oldest is moved first: while this one has the name it had, so has the one after it.
            if newer is not None and (self._file.dropped or inode_of(self._directory, place) == self._file.inode):
                break
            if newer is not None:
                newer.close()
            time.sleep(MOVED_S)
        else:
            return False
        if self._file.size > self._offset + len(self._held):
            newer.close()
            return False
        self._file.close()
        # A line is cut in two only where no file can hold it: its pieces are told apart here as well.
        self._file, self._offset, self._held = newer, 0, b""
        return True

    def _lines(self, data: bytes) -> Iterator[LogLine]:
        *lines, self._held = (self._held + data).split(b"\n")
        times = self._file.times()
        for line in lines:
            yield from self._cut(line + b"\n", times)
        while len(self._held) > self._longest:
            piece = self._held[: self._hide.place(self._held)]
            self._held = self._held[len(piece) :]
            yield self._piece(piece, times)

    def _cut(self, line: bytes, times: Times) -> Iterator[LogLine]:
        while len(line) > LONGEST_LINE:
            piece = line[: self._hide.place(line)]
            line = line[len(piece) :]
            yield self._piece(piece, times)
        yield self._piece(line, times)

    def _flush(self) -> Iterator[LogLine]:
        if self._held:
            held, self._held = self._held, b""
            yield self._piece(held, self._file.times())

    def _piece(self, raw: bytes, times: Times) -> LogLine:
        at = times.at(self._offset)
        self._offset += len(raw)
        return LogLine(self._hide(raw), at)


def _begin(directory: str, ask: LogAsk) -> tuple[File, int, tuple[int, int]] | None:
    """The file and the offset in it with which to begin, and (inode, offset) where it ends; None when there is nothing."""
    wanted, place = ask.lines, (2 if ask.previous else 0)
    end: tuple[int, int] | None = None
    kept: tuple[File, int] | None = None
    for number in range(max(count(directory, NAME), 1)):
        file = opened(directory, number)
        if file is None:
            break
        size, start, more = file.size, 0, True
        if ask.previous:
            # The run before begins at the last mark but one, wherever that is, and ends at the last.
            for run in reversed(file.times().runs):
                place -= 1
                if place == 1:
                    end = (file.inode, run)
                elif place == 0:
                    start, more = run, False
                    break
            if end is None:
                file.close()
                continue
        elif end is None:
            end = (file.inode, size)
        until = end[1] if end[0] == file.inode else size
        if ask.since:
            start, more = _since(file, start, ask.since, more)
        if wanted is not None:
            found, counted = _last_lines(file.fd, start, until, wanted)
            wanted -= counted
            start, more = found, more and found == start and wanted > 0
        if kept is not None:
            if start >= until and not more:
                file.close()
                break
            kept[0].close()
        kept = (file, start)
        if not more:
            break
    if kept is None or end is None:
        return None
    return (*kept, end)


def _since(file: File, start: int, since: float, more: bool) -> tuple[int, bool]:
    times = file.times()
    if times.ats and times.ats[0] < since:
        place = bisect.bisect_left(times.ats, since)
        found = times.offsets[place] if place < len(times.ats) else file.size
        return max(start, _line_start(file.fd, found)), False
    if not times.ats and file.changed_at < since:
        return file.size, False
    return start, more


def _line_start(fd: int, offset: int) -> int:
    """Times are noted where output came in pieces, which need not be where lines begin."""
    before = os.pread(fd, min(offset, LONGEST_LINE), max(0, offset - LONGEST_LINE))
    return offset - (len(before) - before.rfind(b"\n") - 1) if before else 0


def _last_lines(fd: int, start: int, end: int, wanted: int) -> tuple[int, int]:
    """Where the last so many lines before `end` begin, not before `start`, and how many they are."""
    if wanted <= 0:
        return end, 0
    counted, at = 0, end
    while at > start:
        begin = max(start, at - PIECE)
        piece = os.pread(fd, at - begin, begin)
        place = len(piece)
        while (place := piece.rfind(b"\n", 0, place)) >= 0:
            # The end of the last line begins no other.
            if begin + place + 1 < end:
                counted += 1
                if counted == wanted:
                    return begin + place + 1, counted
        at = begin
    return start, counted + (end > start)
