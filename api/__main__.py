"""`python -m api`: the web process, as `convoy serve --http` starts it; what it must know comes as one line of JSON."""

import json
import os
import sys

LONGEST = 65_536


def line() -> bytes:
    """Up to its end and no further: what comes after it, or the end of it all, is for the worker to see."""
    read = b""
    while not read.endswith(b"\n") and len(read) < LONGEST:
        piece = os.read(0, 1)
        if not piece:
            break
        read += piece
    return read


def main() -> None:
    try:
        told = json.loads(line())
    except ValueError:
        sys.exit("this is started by `convoy serve --http ADDRESS`")
    from api.serve import Application

    try:
        Application(told).run()
    except SystemExit as end:
        # All that had to be closed is: to take the rest of us apart, thing by thing, takes a second of two processes' time, and
        # would wait for threads that nobody waits for any more.
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1 if end.code else 0)


if __name__ == "__main__":
    main()
