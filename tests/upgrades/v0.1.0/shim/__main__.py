"""Starts a shim for one instance directory and returns once it has taken over: `python -I -S __main__.py DIRECTORY`."""

import os
import sys

if not __package__:
    # Run by path. Appended, so that no file beside this package can stand in for a module of the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __package__ = "shim"

from .launch import launch

if __name__ == "__main__":
    sys.exit(launch(sys.argv[1]))
