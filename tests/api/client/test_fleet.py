"""What `envoyctl` shows and changes, against a served fleet whose changes are commits."""

import json
from pathlib import Path
from typing import Any

import yaml

from api.client.exits import ABSENT, INVALID, MOVED, UNKNOWN, USAGE
from tests.api.client.conftest import Envoyctl, Served
from tests.api.envoy_fleet import certificates, proxied
from tests.api.envoy_fleet.playing import LONG_S

CLUSTER = {
    "name": "service_b",
    "type": "STRICT_DNS",
    "load_assignment": {
        "cluster_name": "service_b",
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": "service-b.internal", "port_value": 8080}}}}
                ]
            }
        ],
    },
}


def value(envoyctl: Envoyctl, *words: str, **more: Any) -> Any:
    """What a program is answered where it goes well."""
    done = envoyctl(*words, "-o", "json", **more)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_proxies_as_a_table_and_for_programs(envoyctl: Envoyctl) -> None:
    """One row for each, with what the API says of it; JSON and YAML hold all of it."""
    shown = envoyctl("proxy", "list", "--status", "healthy", role="viewer")
    assert shown.exit_code == 0, shown.output
    head, *rows = shown.stdout.splitlines()
    assert head.split()[:2] == ["PROXY", "STATUS"]
    assert [row.split()[:2] for row in rows] == [["proxy-east-001", "healthy"], ["proxy-west-001", "healthy"]]
    listed = value(envoyctl, "proxy", "list", role="viewer")
    assert [one["proxy_id"] for one in listed] == ["core-1", "core-2", "proxy-east-001", "proxy-west-001"]
    again = yaml.safe_load(envoyctl("proxy", "list", "-o", "yaml").stdout)
    # When it was last heard of goes on.
    assert [one | {"last_heartbeat": ""} for one in again] == [one | {"last_heartbeat": ""} for one in listed]
    assert [one["proxy_id"] for one in value(envoyctl, "proxy", "list", "--order", "desc", "--limit", "1")] == [
        "proxy-west-001"
    ]


def test_update_config_as_documented(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """A YAML file becomes one commit; tried first, nothing is; the proxy is told by its name; a rollback is a commit too."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"change_description": "Add service B", "static_resources": {"clusters": [CLUSTER]}}))
    before = served.dialect.log()
    made = envoyctl("proxy", "update-config", "proxy-west-001", "--file", str(file))
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("proxy-west-001-config is at version 1: ")
    served.dialect.follow()
    assert served.dialect.log()[: -len(before)] == ["Add service B"]
    got = value(envoyctl, "proxy", "get", "proxy-west-001")
    assert {one["name"] for one in got["static_resources"]["clusters"]} == {"web", "service_b"}
    # What was read can be given back.
    changed = yaml.safe_load(envoyctl("proxy", "get", "proxy-west-001", "-o", "yaml").stdout)
    cluster = next(one for one in changed["static_resources"]["clusters"] if one["name"] == "service_b")
    cluster["connect_timeout"] = "3s"
    again = envoyctl("proxy", "update-config", got["proxy_id"][:8], "--file", "-", input=json.dumps(changed))
    assert again.exit_code == 0, again.output
    served.dialect.follow()
    # … once.
    stale = envoyctl("proxy", "update-config", "proxy-west-001", "--file", "-", input=json.dumps(changed))
    assert stale.exit_code == MOVED, stale.output
    back = envoyctl("proxy", "rollback", "proxy-west-001", "--to", "1", "--reason", "It is slow")
    assert back.exit_code == 0, back.output
    served.dialect.follow()
    assert served.dialect.log()[0] == "It is slow"
    assert envoyctl("proxy", "rollback", "proxy-west-001", "--to", "99").exit_code == ABSENT


def test_tags(envoyctl: Envoyctl, served: Served) -> None:
    """`get --etag` gives what --if-match takes, with quotes or without; an older one is refused, and nothing is committed."""
    tag = envoyctl("proxy", "get", "proxy-east-001", "--etag").stdout.strip()
    assert tag.startswith('"')
    file = json.dumps({"static_resources": {"clusters": [{**CLUSTER, "name": "service_c"}]}})
    words = ("proxy", "update-config", "proxy-east-001", "--file", "-", "--if-match")
    assert envoyctl(*words, "0" * 64, input=file).exit_code == MOVED
    made = envoyctl(*words, tag.strip('"'), input=file)
    assert made.exit_code == 0, made.output
    served.dialect.follow()
    assert envoyctl(*words, tag, input=file).exit_code == MOVED


def test_clusters(envoyctl: Envoyctl, served: Served) -> None:
    """Made, changed, given endpoints, and listed; each change is a commit by whoever asked."""
    before = len(served.dialect.log())
    made = value(envoyctl, "cluster", "create", "ledger", "--type", "STRICT_DNS", "--lb-policy", "LEAST_REQUEST")
    served.dialect.follow()
    end = value(
        envoyctl, "cluster", "add-endpoint", made["id"], "10.0.2.10:9000", "--weight", "3", "--metadata", "canary=false"
    )
    assert (end["port"], end["weight"], end["metadata"]) == (9000, 3, {"canary": False})
    served.dialect.follow()
    assert value(envoyctl, "cluster", "update", "ledger", "--lb-policy", "RANDOM")["lb_policy"] == {"type": "RANDOM"}
    served.dialect.follow()
    assert len(served.dialect.log()) == before + 3
    (row,) = [line.split() for line in envoyctl("cluster", "list").stdout.splitlines() if line.startswith("ledger")]
    assert row[1:3] == ["STRICT_DNS", "RANDOM"]
    assert row[-1] == "10.0.2.10:9000"
    found = [value(envoyctl, "cluster", "get", word) for word in ("ledger", made["id"], made["id"][:8])]
    assert [one["id"] for one in found] == [made["id"]] * 3
    assert "10.0.2.10" in envoyctl("cluster", "get", "ledger").stdout
    assert "no such cluster" in envoyctl("cluster", "get", "ledge").stderr
    assert envoyctl("cluster", "create", "ledger").exit_code == MOVED
    assert envoyctl("cluster", "update", "ledger").exit_code == USAGE
    assert value(envoyctl, "cluster", "metrics", "ledger")["metrics"] is not None


def test_entries(envoyctl: Envoyctl, served: Served) -> None:
    """Listeners and routes of a configuration, by its name."""
    listener = {"name": "extra", "address": "0.0.0.0", "port": 10443, "protocol": "HTTP", "filter_chains": []}
    served.dialect.follow()
    (first, *_) = value(envoyctl, "listener", "list", "edge")
    assert first["name"] == "http"
    refused = envoyctl("listener", "create", "edge", "--file", "-", input=json.dumps({**listener, "port": "x"}))
    assert refused.exit_code == INVALID
    assert "port: " in refused.stderr
    route = {"name": "api", "domains": ["api.example.com"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "web"}}]}
    assert value(envoyctl, "route", "create", "edge", "--file", "-", input=json.dumps(route))["name"] == "api"
    served.dialect.follow()
    assert "/ → web" in envoyctl("route", "list", "edge").stdout
    assert envoyctl("route", "list", "nowhere").exit_code == ABSENT


def test_who_may(envoyctl: Envoyctl) -> None:
    """A viewer changes nothing, an operator sees no audit; nobody at all is told how to log in."""
    denied = envoyctl("cluster", "create", "mine", role="viewer")
    assert (denied.exit_code, denied.stdout) == (UNKNOWN, "")
    assert envoyctl("audit", role="operator").exit_code == UNKNOWN
    nobody = envoyctl("proxy", "list", role=None)
    assert nobody.exit_code == UNKNOWN
    assert "envoyctl auth login" in nobody.stderr
    wrong = envoyctl("proxy", "list", ENVOYCTL_TOKEN="cvy_wrong")
    assert wrong.exit_code == UNKNOWN
    assert "cvy_wrong" not in wrong.output


def test_audit(envoyctl: Envoyctl, served: Served) -> None:
    """The newest first, with this program's name."""
    assert served.dialect.recorder.flush(LONG_S)
    listed = value(envoyctl, "audit", "--since", "1h", "--limit", "3", role="admin")
    assert len(listed) <= 3
    assert served.dialect.recorder.flush(LONG_S)
    assert any(one["user_agent"].startswith("EnvoyCtl/") for one in value(envoyctl, "audit", "--limit", "100", role="admin"))


def test_metrics(envoyctl: Envoyctl, served: Served) -> None:
    """A row for each moment, a column for each metric."""
    proxied.measured(served.dialect)
    shown = envoyctl("proxy", "metrics", "proxy-west-001", "--since", "30m", "--metrics", "requests_per_second,error_rate")
    assert shown.exit_code == 0, shown.output
    head, row, *_ = shown.stdout.splitlines()
    assert head.split() == ["TIME", "REQUESTS_PER_SECOND", "ERROR_RATE"]
    assert row.split()[1:] == ["2", "0.05"]
    assert envoyctl("proxy", "metrics", "proxy-west-001", "--metrics", "speed").exit_code == INVALID
    assert envoyctl("metrics").exit_code == 0
    assert envoyctl("proxy", "metrics", "proxy-west-001", "--since", "yesterday").exit_code == USAGE


def test_webhooks(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """Made with a secret from a file, which nothing shows."""
    secret = tmp_path / "secret"
    secret.write_text("a-webhook-secret\n")
    words = ("--url", "https://hooks.example.com/envoy", "--events", "deployment.completed,deployment.failed")
    made = value(envoyctl, "webhook", "create", "notifier", *words, "--secret-file", str(secret), role="admin")
    assert made["signed"] is True
    assert "a-webhook-secret" not in json.dumps(made)
    served.dialect.follow()
    assert "notifier" in envoyctl("webhook", "list").stdout
    plain = envoyctl("webhook", "create", "other", "--url", "http://hooks.example.com", "--events", "x", role="admin")
    assert plain.exit_code == INVALID


def test_certificates(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """Uploaded with its key from a file or a pipe, which is sealed; the key is in no answer."""
    made = certificates.pair("shop.example.com")
    cert = tmp_path / "cert.pem"
    cert.write_bytes(made.chain_pem)
    words = ("cert", "upload", "shop", "--cert-file", str(cert), "--key-file", "-")
    done = envoyctl(*words, "-o", "json", role="admin", input=made.key_pem.decode())
    assert done.exit_code == 0, done.output
    assert made.key_pem.decode().splitlines()[1] not in done.output
    served.dialect.follow()
    assert "CN=shop.example.com" in envoyctl("cert", "list").stdout
    assert value(envoyctl, "cert", "get", "shop")["days_until_expiry"] == 89
    assert envoyctl(*words, role="admin", input=made.key_pem.decode()).exit_code == MOVED
    assert envoyctl("cert", "upload", "a", "--cert", "-", "--key", "-", role="admin").exit_code == USAGE


def test_what_cannot_be_asked(envoyctl: Envoyctl, tmp_path: Path) -> None:
    """Ids that lead elsewhere, files that are none, and ends that say so."""
    assert envoyctl("proxy", "get", "../../auth/logout").exit_code == USAGE
    assert envoyctl("proxy", "get", "..").exit_code == USAGE
    assert envoyctl("proxy", "get", "nobody").exit_code == ABSENT
    missing = envoyctl("proxy", "update-config", "proxy-west-001", "--file", str(tmp_path / "none.yaml"))
    assert missing.exit_code == USAGE
    twice = envoyctl("proxy", "update-config", "proxy-west-001", "--file", "-", input="a: 1\nb: 2\na: 3\n")
    assert twice.exit_code == USAGE
    assert "standard input:3:1" in twice.stderr
    said = json.loads(envoyctl("proxy", "get", "nobody", "-o", "json").stdout)["error"]
    assert (said["code"], said["exit_code"], said["status"]) == ("NOT_FOUND", ABSENT, 404)
