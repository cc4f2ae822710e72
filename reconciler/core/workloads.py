"""Workloads: every Container, replica and Proxy with all that its driver needs, and the digests that tell old from new."""

import json
from functools import cache
from math import ceil
from typing import Any, cast

from reconciler.core.kinds.application import Application
from reconciler.core.kinds.container import Container
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.kinds.spec import Check, HttpRequest, Port, Run, Spec, Stop
from reconciler.core.model import Ref, Resource, Want, digest

# Stands in a group's bootstrap where each of its Envoys says which one it is.
NODE = "\x00node\x00"
# Where something runs and how often says nothing about what it is: none of these replaces an instance.
PLACEMENT = frozenset({"host", "hosts", "replicas", "port"})
# What of a group its Envoys are started with; all else reaches a running Envoy by xDS.
STARTED_WITH = frozenset({"binary", "xds", "concurrency", "log_level", "drain_s", "bootstrap"})


NOTHING = digest({})


@cache
def _names(kind: type[Spec], fields: frozenset[str]) -> tuple[str, ...]:
    """Fields as they are called in YAML."""
    return tuple(kind.model_fields[field].alias or field for field in sorted(fields))


def wants(resource: Resource) -> tuple[Want, ...]:
    """The workloads of a Container or an Application: none of what is registered and runs without us.

    Digests are taken over what was written. Left out is left out, so a default that a later Convoy adds changes nothing.
    """
    spec = cast(Container | Application, resource.spec)
    if isinstance(spec, Container) and spec.registered:
        return ()
    written = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for name in ("environment", "files"):
        if name in written:
            written[name] = {key: _named(value) for key, value in written[name].items()}
    in_place = {name: written.pop(name) for name in _names(type(spec), spec.in_place) if name in written}
    instance = digest({name: value for name, value in written.items() if name not in PLACEMENT})
    live = _live(resource, in_place)
    fields = {name: digest(value) for name, value in in_place.items()}
    if isinstance(spec, Container):
        own = spec.host or ""
        return (
            Want(
                resource.ref, resource.uid, instance, live, spec, resource.ref, own, resource.deletion, resource.drift, fields
            ),
        )
    names = (f"{resource.ref.name}-{n}" for n in range(1, spec.replicas + 1))
    refs = (Ref("Container", name, resource.ref.tenant) for name in names)
    policies = (resource.deletion, resource.drift)
    return tuple(Want(ref, resource.uid, instance, live, spec, resource.ref, "", *policies, fields) for ref in refs)


def _live(resource: Resource, in_place: dict[str, Any]) -> str:
    """The digest of what changes in place. Marks carry the deletion policy, so it is a part where it is not the default."""
    if resource.deletion != "delete":
        in_place = {**in_place, "deletion": resource.deletion}
    return digest(in_place) if in_place else NOTHING


def _named(value: Any) -> Any:
    """What a digest is taken over: of a secret its hash alone, for ciphertext is another each time it is sealed."""
    return {"sealed": value["hash"]} if isinstance(value, dict) else value


def node_name(ref: Ref) -> str:
    """By which name an Envoy and the xDS server know a Proxy or ProxyGroup: with its tenant, off the default one."""
    return str(ref).partition("/")[2]


def proxy_want(resource: Resource, its_group: Resource, bootstrap: str) -> Want:
    """The Envoy of a Proxy, as a process that anything which runs processes can run."""
    proxy, group = cast(Proxy, resource.spec), cast(ProxyGroup, its_group.spec)
    drain_s = ceil(group.drain_s)
    command = (
        group.binary or "${ENVOY}",
        *("--config-path", "${DIR}/bootstrap.json"),
        "--disable-hot-restart",
        *("--concurrency", str(group.concurrency)),
        *("--log-level", group.log_level),
        *("--drain-time-s", str(max(1, drain_s))),
        # Every answer from then on ends its connection. The other way counts whole seconds, and within a short drain asks few.
        *("--drain-strategy", "immediate"),
    )
    admin = "admin"
    run = Run(
        command=command,
        files={"bootstrap.json": bootstrap.replace(json.dumps(NODE), json.dumps(node_name(resource.ref)))},
        ports=(Port(name=admin, protocol="unix"),),
        check=Check(http=HttpRequest(path="/ready", port=admin)),
        restart="always",
        stop=Stop(
            http=HttpRequest(path="/drain_listeners?graceful&skip_exit", port=admin, method="POST"), wait_s=group.drain_s
        ),
    )
    # Not the Configuration nor the ports: those reach a running Envoy. Nor the bootstrap as a whole: a later Convoy may
    # write it otherwise, and that must not replace the fleet.
    written = group.model_dump(mode="json", by_alias=True, exclude_unset=True, include=set(STARTED_WITH))
    instance = digest({"group": proxy.group, "spec": written})
    live, own = _live(resource, {}), proxy.host or ""
    return Want(resource.ref, resource.uid, instance, live, run, resource.ref, own, resource.deletion, resource.drift)
