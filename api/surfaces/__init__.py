"""The APIs that are served, each under its own name: a line each. How to add one: README.md beside this."""

from types import ModuleType

from api.surfaces import convoy

SURFACES: dict[str, ModuleType] = {
    "convoy": convoy,
}
