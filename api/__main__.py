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

    Application(told).run()


if __name__ == "__main__":
    main()
