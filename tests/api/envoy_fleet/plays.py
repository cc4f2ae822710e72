"""What has to be there before the documented example of an operation can be played: a line for each that is served."""

import time

from api.surfaces.envoy_fleet.contract import operations
from reconciler.core.readings import Reading
from tests import people
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.certificates import uploaded, used_by_a_listener
from tests.api.envoy_fleet.edges import edge_fleet, proxy
from tests.api.envoy_fleet.playing import Dialect, Play, Prepare
from tests.api.envoy_fleet.telling import Telling
from tests.api.envoy_fleet.telling import body as telling_body

PASSWORD = "secure_password"


def nothing(_: Dialect) -> Play:
    return Play()


def cluster(dialect: Dialect) -> Play:
    """One that bears another name than the documented one."""
    return Play({"id": dialect.made("clusters.create", {"name": "service-a"})["id"]}, {"lb_policy": "LEAST_REQUEST"})


def endpoint(dialect: Dialect) -> Play:
    return Play(cluster(dialect).ids)


def deployment(dialect: Dialect) -> Play:
    """The documented strategy is refused (test_deployments.py); the rest of the example is played."""
    version = edge_fleet(dialect)[1]
    proxies = [proxy(dialect, name) for name in ("edge-1", "edge-2")]
    return Play(body={"proxy_ids": proxies, "version_id": version, "deployment_strategy": "all_at_once"})


def deployed(dialect: Dialect) -> Play:
    made = dialect.made("deployments.create", deployment(dialect).body)
    # Nobody is a canary.
    return Play({"id": made["id"]}, absent=frozenset({"canary_status"}))


def measured(dialect: Dialect) -> Play:
    """A proxy that served something in every minute of the last hour."""
    edge_fleet(dialect)
    minute = int(time.time()) // 60 * 60
    every = {("Proxy/edge-1", minute - 60 * n): Reading(600, 6, 60_000, 3, 1, {300: 600}) for n in range(1, 61)}
    dialect.store.readings.write(every, {}, minute)
    return Play({"id": proxy(dialect, "edge-1")}, query={"resolution": "5m"})


def upload(dialect: Dialect) -> Play:
    """With PEM that is whole: the document's is cut short."""
    return Play(body=uploaded(dialect))


def certificate(dialect: Dialect) -> Play:
    made = dialect.made("certificates.upload", uploaded(dialect))
    used_by_a_listener(dialect, made["name"])
    return Play({"id": made["id"]})


def proxies(dialect: Dialect) -> Play:
    """None runs in a container, and the admin pages of Convoy's Envoys have no port."""
    proxied.fleet(dialect)
    for name in ("proxy-west-001", "proxy-east-001"):
        proxied.faring(dialect, name)
        proxied.measured(dialect, name)
    return Play(absent=frozenset({"data[].container_id", "data[].cluster_id", "data[].admin_port"}))


def configuration(dialect: Dialect) -> Play:
    """The documented one has its admin page on a port, which Convoy's Envoys have on a Unix socket."""
    proxied.fleet(dialect)
    proxied.faring(dialect)
    return Play({"id": proxied.id_of(dialect)}, absent=frozenset({"admin_config.address.socket_address"}))


def versions(dialect: Dialect) -> Play:
    """Four of them, so that there is a third to go back to."""
    play = configuration(dialect)
    for number in range(4):
        cluster = {"name": f"c{number}", "type": "STATIC"}
        dialect.made("proxies.configuration.update", {"static_resources": {"clusters": [cluster]}}, ids=play.ids)
    return play


def config(dialect: Dialect) -> Play:
    """Of one proxy alone: two on one machine cannot both have the documented port."""
    proxied.fleet(dialect, proxied.ONE)
    return Play({"config_id": dialect.made("proxies.configuration.get", ids={"id": "proxy-west-001"})["id"]})


def route(dialect: Dialect) -> Play:
    play = config(dialect)
    clusters = {"clusters": [{"name": "api_v1_cluster", "type": "STATIC"}]}
    dialect.made("proxies.configuration.update", {"static_resources": clusters}, ids={"id": "proxy-west-001"})
    return play


def audited(dialect: Dialect) -> Play:
    """A change, by an account, which is the newest that there is."""
    dialect.made("clusters.update", {"lb_policy": "RANDOM"}, ids=cluster(dialect).ids)
    return Play(query={"action": "UPDATE"})


def somebody(dialect: Dialect) -> Play:
    """The one whom the document shows logging in."""
    account = people.account(dialect.store, "operator", email="user@example.com", password=PASSWORD)
    return Play(body={"email": account.email, "password": PASSWORD})


def logged_in(dialect: Dialect) -> Play:
    given = dialect.made("auth.login", somebody(dialect).body)
    return Play(body={"refresh_token": given["refresh_token"]})


def webhook(dialect: Dialect) -> Play:
    dialect.seals()
    return Play()


def tested(dialect: Dialect) -> Play:
    """One that is never reached: its address is this machine's."""
    telling = Telling(dialect)
    dialect.closing.callback(telling.close)
    made = dialect.made("webhooks.create", telling_body(name="told"))
    telling.edit("notifications/told.yaml", ("hooks.example.com", "127.0.0.1"))
    return Play({"id": made["id"]})


def machine(dialect: Dialect) -> Play:
    """One on which something is registered, which has reported."""
    body = {"hostname": "vm-prod-001", "ip_address": "10.0.1.5", "region": "us-west-2", "availability_zone": "us-west-2a"}
    sizes = {"cpu_cores": 8, "memory_mb": 16384, "disk_gb": 500, "metadata": {"provider": "aws", "instance_type": "t3.xlarge"}}
    id = dialect.made("virtual_machines.create", body | sizes)["id"]
    return Play({"id": id}, {"region": "eu-1", "status": "maintenance"})


def one_of_two(dialect: Dialect) -> Play:
    """Nobody empties a fleet."""
    dialect.made("clusters.create", {"name": "stays"})
    return machine(dialect)


def bearing(dialect: Dialect) -> Play:
    play = machine(dialect)
    id = dialect.made("containers.create", registered(dialect).body)["id"]
    dialect.made("containers.update_status", {"status": "running"}, ids={"id": id})
    return Play(play.ids)


def registered(dialect: Dialect) -> Play:
    """On a machine of this fleet."""
    found = dialect.made("virtual_machines.list")["data"] or [{"id": machine(dialect).ids["id"]}]
    return Play(body=dict(operations()["containers.create"].said["request"]) | {"vm_id": found[0]["id"]})


def container(dialect: Dialect) -> Play:
    return Play({"id": dialect.made("containers.create", registered(dialect).body)["id"]})


def standing(dialect: Dialect) -> Play:
    """Before a cluster of this fleet."""
    proxied.fleet(dialect)
    id = dialect.made("clusters.create", {"name": "service-a"})["id"]
    names = ("proxy-west-001", "proxy-east-001")
    return Play(body={"proxy_ids": [proxied.id_of(dialect, name) for name in names], "updates": {"cluster_id": id}})


def two_containers(dialect: Dialect) -> Play:
    body: dict[str, object] = {**operations()["containers.create"].said["request"], "vm_id": machine(dialect).ids["id"]}
    ids = [dialect.made("containers.create", body | {"name": name})["id"] for name in ("one", "two")]
    return Play(body={"resource_type": "containers", "ids": ids})


PLAYS: dict[str, Prepare] = {
    "bulk.delete": two_containers,
    "bulk.proxies.update": standing,
    "containers.create": registered,
    "containers.get": container,
    "containers.list": container,
    "containers.update_status": container,
    "virtual_machines.containers": bearing,
    "virtual_machines.create": nothing,
    "virtual_machines.delete": one_of_two,
    "virtual_machines.get": machine,
    "virtual_machines.list": bearing,
    "virtual_machines.update": machine,
    "audit_logs.list": audited,
    "auth.login": somebody,
    "auth.refresh": logged_in,
    "auth.logout": nothing,
    "certificates.list": nothing,
    "certificates.upload": upload,
    "certificates.get": certificate,
    "clusters.list": nothing,
    "clusters.create": nothing,
    "clusters.update": cluster,
    "clusters.endpoints.add": endpoint,
    "deployments.create": deployment,
    "deployments.list": nothing,
    "deployments.status": deployed,
    "health.get": nothing,
    "metrics.cluster": endpoint,
    "metrics.proxy": measured,
    "metrics.system": nothing,
    "listeners.create": config,
    "listeners.list": config,
    "openapi.get": nothing,
    "proxies.configuration.get": configuration,
    "proxies.configuration.rollback": versions,
    "proxies.configuration.update": configuration,
    "proxies.list": proxies,
    "routes.create": route,
    "routes.list": config,
    "webhooks.create": webhook,
    "webhooks.list": nothing,
    "webhooks.test": tested,
}
