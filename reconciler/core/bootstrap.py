"""The bootstrap of an Envoy: who it is, its admin page on a socket of its own, and where it asks for everything else."""

import json
from collections.abc import Mapping
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2  # type: ignore[import-untyped]
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # type: ignore[import-untyped]
from google.protobuf import json_format  # type: ignore[import-untyped]

from reconciler.core.envoy import packing
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.messages import Fault, Message, spelled
from reconciler.core.pieces import Draft
from reconciler.core.workloads import NODE

# The cluster of the xDS server itself, as Envoy's own statistics show it.
XDS_CLUSTER = "convoy-xds"
# How long an Envoy waits for the first answer of a type before it goes on starting without it.
FIRST_ANSWER_S = 15
# An Envoy that lost the xDS server tries again after about this long at first, and at most (with jitter): a restarted
# control plane has all of its proxies back within seconds. Envoy's own values are 0.5 s and 30 s.
RETRY_S, LONGEST_RETRY_S = 0.25, 5
# What only Convoy can know, so a `bootstrap` that says otherwise is a mistake.
OURS = (("node", "id"), ("node", "cluster"), ("admin", "address"))


def bootstrap(spec: ProxyGroup, cluster: str) -> tuple[str, frozenset[str], tuple[Fault, ...]]:
    """The bootstrap of a group's Envoys as JSON, the clusters it holds, and what is wrong with the group's own `bootstrap`.

    `proxy_want` fills in which Envoy it is for; the host fills in ${PORT_ADMIN}, ${XDS_SOCKET},
    ${XDS_TOKEN} and ${XDS_INSTANCE} (`model.instance_on`).
    """
    draft = Draft()
    for path in OURS:
        found = spelled(spec.bootstrap, path)
        if len(found) == len(path):
            draft.faults.append(Fault(("bootstrap", *found), "is written by Convoy", "leave it out"))
    message = _ours(spec, cluster)
    ours = message.static_resources.clusters[0]
    xds = type(ours).FromString(ours.SerializeToString())
    draft.lay(message, spec.bootstrap, ())
    # Clusters of the group's own stand beside ours.
    if not any(one.name == XDS_CLUSTER for one in message.static_resources.clusters):
        message.static_resources.clusters.append(xds)
    draft.finish(message)
    faults = tuple(Fault(_unnested(one.path), one.what, one.hint) for one in draft.faults)
    clusters = frozenset(one.name for one in message.static_resources.clusters)
    if faults:
        return "", clusters, faults
    value = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json.dumps(value, indent=2, sort_keys=True) + "\n", clusters, ()


def _unnested(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """`Draft` speaks of a spelling's `envoy`; a group calls the same thing `bootstrap`."""
    return ("bootstrap", *path[1:]) if path[:1] == ("envoy",) else path or ("bootstrap",)


def _ours(spec: ProxyGroup, cluster: str) -> Message:
    message = bootstrap_pb2.Bootstrap()
    message.node.id, message.node.cluster = NODE, cluster
    # A socket that only this user may open: whoever reaches the admin page can stop the Envoy.
    message.admin.address.pipe.path = "${PORT_ADMIN}"
    message.admin.address.pipe.mode = 0o600
    dynamic: dict[str, Any] = {
        "ads_config": {
            "api_type": "DELTA_GRPC" if spec.xds == "delta" else "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            # A belt against loops of refusals: 100 requests at once, 10 a second.
            "rate_limit_settings": {},
            "grpc_services": [
                {
                    "envoy_grpc": {
                        "cluster_name": XDS_CLUSTER,
                        "retry_policy": {
                            "retry_back_off": {"base_interval": f"{RETRY_S}s", "max_interval": f"{LONGEST_RETRY_S}s"}
                        },
                    },
                    "initial_metadata": [
                        {"key": "authorization", "value": "Bearer ${XDS_TOKEN}"},
                        # While one Envoy replaces another, both are the same node.
                        {"key": "convoy-instance", "value": "${XDS_INSTANCE}"},
                    ],
                }
            ],
        },
        "cds_config": _source(),
        "lds_config": _source(),
    }
    json_format.ParseDict(dynamic, message.dynamic_resources)
    xds = message.static_resources.clusters.add(name=XDS_CLUSTER, type="STATIC")
    xds.connect_timeout.seconds = 5
    xds.load_assignment.cluster_name = XDS_CLUSTER
    endpoint = xds.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.pipe.path = "${XDS_SOCKET}"
    options = http_protocol_options_pb2.HttpProtocolOptions()
    keepalive = options.explicit_http_config.http2_protocol_options.connection_keepalive
    keepalive.interval.seconds, keepalive.timeout.seconds = 30, 5
    xds.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].CopyFrom(packing(options))
    return message


def _source() -> Mapping[str, Any]:
    return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": f"{FIRST_ANSWER_S}s"}
