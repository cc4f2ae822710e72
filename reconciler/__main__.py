"""`python -m reconciler` is `convoy`."""

from reconciler.cli import main

if __name__ == "__main__":
    main()
