"""What of a body may be kept: nothing that is a secret, sealed later or not."""

from collections.abc import Mapping
from typing import Any

from api.surfaces.envoy_fleet.mapping.containers import looks_secret
from reconciler.core.values import is_secret


def without_secrets(value: Any, path: tuple[str, ...] = ()) -> Any:
    """What is called like a secret is left out, and variables that are sealed."""
    if isinstance(value, Mapping):
        said = {name: without_secrets(one, (name,)) for name, one in value.items() if not is_secret(path, name)}
        if path == ("environment_vars",):
            return {name: one for name, one in said.items() if not looks_secret(name, str(one))}
        return said
    return [without_secrets(one) for one in value] if isinstance(value, list) else value
