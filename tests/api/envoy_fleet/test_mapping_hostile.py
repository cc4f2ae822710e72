"""Whatever stands where in a body of sections 6, 8 and 9: a refusal by name, or an entry that says the same again."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from api.surfaces.envoy_fleet import shapes
from api.surfaces.envoy_fleet.mapping import configurations, entries
from api.surfaces.envoy_fleet.wire import Invalid
from reconciler.core.kinds.configuration import Configuration
from tests.api.envoy_fleet.test_mapping_configurations import CLUSTER, LISTENER, ROUTE, answered, port_of

TYPE = "type.googleapis.com/"
JUNK: list[Any] = [
    *(None, True, 0, -1, 1.5, 1e308, 2**63, -(2**70), 10**400, "", "x", "\x00", "a b", "\uffff", "1s", "-5s"),
    *([], {}, [1], [[]], [{}], {"a": 1}, {"name": "x"}, {"config": {}, "typed_config": {}}, "(in the clear, hidden)"),
    *({"@type": "x"}, {"@type": TYPE + "google.protobuf.Struct"}, {"@type": TYPE + "google.protobuf.Value", "value": [1]}),
    *({"@type": TYPE + "envoy.config.route.v3.Route"}, {"@type": TYPE + "google.protobuf.Any", "value": {"@type": "x"}}),
]
NAMES = ["config", "typed_config", "envoy", "metadata", "transport_socket", "api_listener", "internal_listener", "filters", "x"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def spoiled(body: Any, chance: random.Random) -> Any:
    """With something else in one place or a few."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice((1, 1, 2, 3))):
        *to, last = chance.choice([*places(body)] or [("x",)])
        holder = body
        for key in to:
            holder = holder[key]
        what = chance.random()
        if what < 0.7 or isinstance(holder, list):
            holder[last] = copy.deepcopy(chance.choice(JUNK))
        elif what < 0.85:
            holder[chance.choice(NAMES)] = copy.deepcopy(chance.choice(JUNK))
        else:
            del holder[last]
    return body


@pytest.mark.parametrize("seed", range(120))
def test_a_spoiled_body_is_refused_or_means_something(seed: int) -> None:
    """By the schema or by the mapping, with the member's name; what is taken is a Configuration, and says the same again."""
    chance = random.Random(seed)
    try:
        listener, route = spoiled(LISTENER, chance), spoiled(ROUTE, chance)
        if seed % 3 == 0:
            shapes.check("NewListener", listener)
            entry = entries.listener_entry(listener, "default", port_of)
            Configuration.model_validate({"listeners": [entry]})
            assert entries.listener_entry(entries.listener_view(entry, "default", port_of), "default", port_of) == entry
        elif seed % 3 == 1:
            shapes.check("NewRoute", route)
            entry = entries.route_entry(route, "default", port_of)
            Configuration.model_validate({"routes": [entry]})
            (view,) = entries.route_views(entry, "default", port_of)
            assert entries.route_entry(view, "default", port_of) == entry
        else:
            body = {"static_resources": {"clusters": [spoiled(CLUSTER, chance)]}}
            shapes.check("ConfigurationChange", body)
            found = configurations.wanted(body, {}, answered({}), "default", port_of).entries["clusters"]
            Configuration.model_validate({"clusters": found})
            said = configurations.static_resources({"clusters": found}, "default", port_of)
            again = configurations.wanted({"static_resources": said}, {}, answered({}), "default", port_of)
            assert again.entries["clusters"] == found
    except Invalid as why:
        refused = why.field
    else:
        refused = "nothing"
    assert refused
