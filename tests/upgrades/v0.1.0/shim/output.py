"""What a child prints, in files that never grow beyond their bounds."""

import contextlib
import os

NAME = "output.log"


class Output:
    """Appends to output.log; at `max_bytes` it becomes output.log.1, and so on up to `files` files."""

    def __init__(self, directory: str, max_bytes: int, files: int) -> None:
        self._path = os.path.join(directory, NAME)
        self._fd, self._size = -1, 0
        self.bound(max_bytes, files)
        self._open()

    def bound(self, max_bytes: int, files: int) -> None:
        """Other bounds from now on; files that are too many go at once."""
        self._max_bytes, self._files = max_bytes, files
        number = files
        with contextlib.suppress(OSError):
            while True:
                os.unlink(f"{self._path}.{number}")
                number += 1

    def write(self, data: bytes) -> None:
        """Never raises: a full disk must not stop what is supervised, so what cannot be written is lost."""
        try:
            while data:
                room = self._max_bytes - self._size
                if room <= 0:
                    self._rotate()
                    continue
                cut = len(data) if len(data) <= room else data.rfind(b"\n", 0, room) + 1
                if cut == 0 and self._size:
                    self._rotate()
                    continue
                # A line is cut in two only where a whole file cannot hold it.
                cut = cut or room
                written = os.write(self._fd, data[:cut])
                self._size += written
                data = data[written:]
                if data and written == cut:
                    self._rotate()
        except OSError:
            if self._fd < 0:
                self._open()

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        if self._files == 1:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        os.close(self._fd)
        self._fd = -1
        for number in range(self._files - 1, 0, -1):
            older = f"{self._path}.{number}"
            newer = f"{self._path}.{number - 1}" if number > 1 else self._path
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, older)
        self._open()
        if self._fd < 0:
            raise OSError(f"cannot open {self._path}")
