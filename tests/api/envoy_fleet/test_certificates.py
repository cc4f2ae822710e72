"""Certificates: what they say of themselves, who uses them; and that a key that is uploaded is nowhere in the clear."""

from pathlib import Path

from reconciler.core.kinds.certificate import Certificate as Spec
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import Ref
from reconciler.secrets import Opener
from reconciler.store import KeptCertificate
from tests.api.envoy_fleet.certificates import NAME, body, pair, used_by_a_listener
from tests.api.envoy_fleet.playing import Dialect
from tests.committing import HEAD


def test_uploaded(dialect: Dialect, tmp_path: Path) -> None:
    """Its key is sealed in Git, opens to what was sent, and is in no answer, table or file."""
    keys, made = dialect.seals(), pair()
    sent = body(made=made)
    answer = dialect.made("certificates.upload", sent)
    assert (answer["subject"], answer["issuer"]) == ("CN=api.example.com", "CN=api.example.com")
    assert answer["days_until_expiry"] == 89
    assert answer["in_use_by"] == []
    declared = dialect.store.declared([f"Certificate/{NAME}"])[f"Certificate/{NAME}"]
    spec = Spec.model_validate(declared.document["spec"])
    assert isinstance(spec.key, Sealed)
    opened = Opener([keys.identity], lambda *_: None).open(Ref("Certificate", NAME), spec.key, "test").decode()
    assert opened.strip() == made.key_pem.decode().strip()
    secret = made.key_pem.decode().splitlines()[2].encode()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_uploaded_again(dialect: Dialect) -> None:
    """Under one key it is one certificate, though it is sealed anew; without, the name is taken."""
    dialect.seals()
    sent = body()
    first = dialect.made("certificates.upload", sent, Idempotency_Key="k")
    assert dialect.made("certificates.upload", sent, Idempotency_Key="k")["id"] == first["id"]
    assert dialect.refused("certificates.upload", sent)[:2] == (409, "CONFLICT")


def test_what_does_not_belong_together(dialect: Dialect) -> None:
    """Is refused by name before anything is sealed, and nothing of a key is said again."""
    made, other = pair(), pair("other.example")
    sent = body(made=made)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"private_key": other.key_pem.decode()}, "private_key"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\n..."}, "private_key"),
        ({"certificate_pem": "-----BEGIN CERTIFICATE-----\n..."}, "certificate_pem"),
        ({"certificate_pem": made.chain_pem.decode() + made.key_pem.decode()}, "certificate_pem"),
        ({"certificate_pem": "before\n" + made.chain_pem.decode()}, "certificate_pem"),
        ({"certificate_chain": other.chain_pem.decode()}, "certificate_chain"),
        ({"certificate_chain": "nothing"}, "certificate_chain"),
        ({"private_key": 5}, "private_key"),
        ({"passphrase": "x"}, "passphrase"),
    ]
    for change, field in wrong:
        answer = dialect.ask("certificates.upload", sent | change)
        said = answer.json["error"]["details"] if answer.json else {}
        assert (answer.status_code, said.get("field")) == (422, field), answer.text
        assert made.key_pem.decode().splitlines()[1] not in answer.text
    # Nobody seals here.
    assert dialect.refused("certificates.upload", sent)[0] == 503
    assert dialect.refused("certificates.upload", sent, role="operator")[:2] == (403, "FORBIDDEN")


def test_made_by_convoy(dialect: Dialect) -> None:
    """Nothing is known of one that nobody has asked for; then what was made for it, without its key."""
    assert dialect.origin is not None
    dialect.origin.commit({"shop.yaml": HEAD.format("Certificate", "shop") + "spec: {selfSigned: {names: [shop.example]}}\n"})
    dialect.follow()
    found = dialect.made("certificates.get", ids={"id": "shop"}, role="viewer")
    assert (found["subject"], found["not_after"], found["days_until_expiry"]) == (None, None, None)
    made = pair("shop.example", days=1, ago_s=2.5 * 86_400)
    kept = KeptCertificate("digest", made.key_pem, made.chain_pem, made.not_after)
    dialect.store.put_certificate(Ref("Certificate", "shop"), kept)
    found = dialect.made("certificates.get", ids={"id": found["id"]})
    assert (found["subject"], found["days_until_expiry"]) == ("CN=shop.example", -2)
    assert dialect.made("certificates.list")["data"] == [found]


def test_who_uses_it(dialect: Dialect) -> None:
    """Listeners, by either spelling, and virtual hosts; not whoever only holds the same word; and of this tenant."""
    dialect.seals()
    id = {"id": dialect.made("certificates.upload", body("web"))["id"]}
    used_by_a_listener(dialect, "web")
    assert dialect.origin is not None
    sds = "{common_tls_context: {tlsCertificateSdsSecretConfigs: [{name: web, sdsConfig: {ads: {}}}]}}"
    typed = "'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    raw = f"{{transport_socket: {{name: tls, typed_config: {{{typed}, {sds[1:-1]}}}}}}}"
    dialect.origin.commit(
        {
            "raw.yaml": HEAD.format("Configuration", "raw")
            + f"spec:\n  listeners:\n  - name: raw\n    port: 9443\n    routes: main\n    envoy: {{filterChains: [{raw}]}}\n"
            "  routes: [{name: main, virtualHosts: []}]\n",
            "web.yaml": HEAD.format("Cluster", "web") + "spec: {endpoints: ['127.0.0.1:1']}\n",
            "group.yaml": HEAD.format("ProxyGroup", "edge") + "spec: {}\n",
            "site.yaml": HEAD.format("VirtualHost", "site")
            + "spec: {group: edge, port: 9000, domains: [a.example], backend: web, tls: {certificate: web}}\n",
            "plain.yaml": HEAD.format("VirtualHost", "plain")
            + "spec: {group: edge, port: 9001, domains: [b.example], backend: web}\n",
        }
    )
    dialect.follow()
    uses = {(one["type"], one["name"]) for one in dialect.made("certificates.get", ids=id)["in_use_by"]}
    assert uses == {("listener", "https"), ("listener", "raw"), ("virtual_host", "site")}
    assert dialect.refused("certificates.get", ids=id, tenant="acme")[:2] == (404, "NOT_FOUND")
    assert dialect.made("certificates.list", tenant="acme")["data"] == []
