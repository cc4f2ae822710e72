"""A fleet with proxies and a Configuration of two versions, committed as a person does."""

from tests.api.envoy_fleet.playing import Dialect

HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata: {{name: {}}}\nspec: {}\n---\n"


def document(kind: str, name: str, spec: str) -> str:
    return HEAD.format(kind, name, spec)


def configuration(name: str, cluster: str) -> str:
    routes = f"[{{name: main, virtualHosts: [{{routes: [{{prefix: /, cluster: {cluster}}}]}}]}}]"
    return document("Configuration", name, f"{{listeners: [{{name: http, port: 10000, routes: main}}], routes: {routes}}}")


def proxies(group: str, *numbers: int) -> str:
    return "".join(
        document("Proxy", f"{group}-{n}", f"{{group: {group}, host: local, ports: {{http: {10000 + n}}}}}") for n in numbers
    )


def edge_fleet(dialect: Dialect) -> tuple[str, str]:
    """Two proxies of one group and a third of another; gives the ids of the first Configuration's versions, oldest first."""
    base = {
        "hosts.yaml": document("Host", "local", "{}"),
        "clusters.yaml": "".join(document("Cluster", name, '{endpoints: ["127.0.0.1:1"]}') for name in ("web", "spare")),
        "groups.yaml": document("ProxyGroup", "edge", "{configuration: edge}")
        + document("ProxyGroup", "core", "{configuration: core}"),
        "proxies.yaml": proxies("edge", 1, 2) + proxies("core", 3),
        "edge.yaml": configuration("edge", "web"),
        "core.yaml": configuration("core", "web"),
    }
    versions = []
    for files in (base, {"edge.yaml": configuration("edge", "spare")}):
        assert dialect.origin is not None
        dialect.origin.commit(files)
        dialect.follow()
        versions.append(dialect.store.declared(["Configuration/edge"])["Configuration/edge"].version)
    return versions[0], versions[1]


def proxy(dialect: Dialect, name: str) -> str:
    """Its id."""
    return dialect.store.declared([f"Proxy/{name}"])[f"Proxy/{name}"].uid
