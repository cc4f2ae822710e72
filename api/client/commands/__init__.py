"""The commands of `envoyctl`, a module for each of its words; `api/client/cli.py` lists them."""
