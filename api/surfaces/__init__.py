"""The APIs that are served, each under its own name: a line each. How to add one: README.md beside this."""

from types import ModuleType

from api.surfaces import convoy, envoy_fleet

SURFACES: dict[str, ModuleType] = {
    "convoy": convoy,
    "envoy-fleet": envoy_fleet,
}
# The one whose documented URLs begin at the main port's root.
AT_ROOT = "envoy-fleet"
