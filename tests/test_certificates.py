"""TLS material: made and renewed, or read from Git; withheld when it cannot be right."""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2  # type: ignore[import-untyped]

from reconciler import tls
from reconciler.certificates import Certificates
from reconciler.core.envoy import TYPE_URLS, content
from reconciler.core.kinds.certificate import Certificate, SelfSigned
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import FleetState, Ref, Resource, Source, XdsResource
from reconciler.seams import Seams
from reconciler.secrets import Keys, Opener, SecretError, keygen, seal
from reconciler.store import KeptCertificate
from tests.xds.snapshot import WHERE

REF = Ref("Certificate", "shop")
DAY_S = 86_400.0
START = 1_800_000_000.0
KEYS: Keys = keygen()


class Clock(Seams):
    def __init__(self) -> None:
        self.at = START

    def now(self) -> float:
        return self.at


class Kept:
    """What a store does for certificates."""

    def __init__(self) -> None:
        self.certificates: dict[Ref, KeptCertificate] = {}
        self.puts = 0

    def certificate(self, ref: Ref) -> KeptCertificate | None:
        return self.certificates.get(ref)

    def put_certificate(self, ref: Ref, certificate: KeptCertificate) -> None:
        self.certificates[ref] = certificate
        self.puts += 1


class World:
    """Certificates over a store and a clock of the test's, and the openings they recorded."""

    def __init__(self) -> None:
        self.clock, self.kept = Clock(), Kept()
        self.opened: list[tuple[Ref, str]] = []
        self.identities: tuple[str, ...] = (KEYS.identity,)
        self.restart()

    def restart(self) -> None:
        opener = Opener(self.identities, lambda ref, purpose: self.opened.append((ref, purpose)))
        self.certificates = Certificates(self.kept, opener, self.clock)

    def version(self, fleet: FleetState, ref: Ref = REF) -> str:
        return self.certificates.versions(fleet)[ref]

    def sent(self, version: str, ref: Ref = REF) -> x509.Certificate:
        """The certificate of what a proxy gets for this version; its key fits."""
        secret = read(self.certificates.secret(asked(version, ref)))
        assert secret.name == "shop"
        chain = tls.read_chain(secret.tls_certificate.certificate_chain.inline_bytes)
        tls.check_key(secret.tls_certificate.private_key.inline_bytes, chain)
        return chain.leaf


@pytest.fixture
def world() -> World:
    return World()


def asked(version: str, ref: Ref = REF) -> XdsResource:
    return XdsResource("sds", "shop", version, b"", WHERE, ref, secret=ref)


def read(body: bytes) -> secret_pb2.Secret:
    assert TYPE_URLS["sds"].encode() in body
    return secret_pb2.Secret.FromString(content(body))


def fleet(*specs: Certificate, refs: Mapping[int, Ref] | None = None) -> FleetState:
    named = [(refs or {}).get(number, REF if number == 0 else Ref("Certificate", f"c{number}")) for number in range(len(specs))]
    source = Source("tls.yaml", 7, 0, 1)
    return FleetState("r", {ref: Resource(ref, "u", spec, source) for ref, spec in zip(named, specs, strict=True)}, {})


def made(*names: str, days: int = 90) -> Certificate:
    return Certificate(self_signed=SelfSigned(names=names or ("shop.example",), days=days))


def given(
    days: float = 90, begins: float = START, key: bytes | None = None, chain: bytes = b""
) -> tuple[Certificate, tls.Pair]:
    """A Certificate as Git has it, made at `begins`; its own key is sealed unless another is given."""
    pair = tls.self_signed(["shop.example"], days, 5, begins)
    sealed = seal(pair.key_pem if key is None else key, [KEYS.recipient], b"k")
    return Certificate(chain=(pair.chain_pem + chain).decode(), key=sealed), pair


def test_self_signed_is_for_its_names_and_time(world: World) -> None:
    """ECDSA P-256, the names and addresses it is for, valid from now for its days."""
    wanted = made("shop.example", "*.shop.example", "127.0.0.1", "::1", days=30)
    leaf = world.sent(world.version(fleet(wanted)))
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["shop.example", "*.shop.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    assert leaf.not_valid_before_utc.timestamp() <= START
    assert leaf.not_valid_after_utc.timestamp() == START + 30 * DAY_S


def test_self_signed_is_kept_and_found_again(world: World) -> None:
    """Asking again, and asking after a restart, gives the same version and the same certificate."""
    version = world.version(fleet(made()))
    first = world.sent(version)
    assert world.version(fleet(made())) == version
    world.restart()
    assert world.version(fleet(made())) == version
    assert world.sent(version) == first
    assert world.kept.puts == 1


def test_nothing_is_made_before_a_proxy_asks(world: World) -> None:
    """A revision that is looked at and then refused leaves what is in force alone."""
    good = world.version(fleet(made()))
    first = world.sent(good)
    refused = world.version(fleet(made("other.example")))
    assert refused != good
    assert world.version(fleet(made())) == good
    assert world.sent(good) == first
    assert world.kept.puts == 1


def test_self_signed_is_renewed_when_a_third_is_left(world: World) -> None:
    """Until then the version stays; then it changes, and stays what it has become, before and after the proxy asks."""
    version = world.version(fleet(made()))
    old = world.sent(version)
    world.clock.at = START + 59 * DAY_S
    assert world.version(fleet(made())) == version
    world.clock.at = START + 61 * DAY_S
    renewed = world.version(fleet(made()))
    assert renewed != version
    assert world.version(fleet(made())) == renewed
    # A proxy that still has the old version gets what is there.
    assert world.sent(version) == old
    new = world.sent(renewed)
    assert new.not_valid_after_utc.timestamp() == START + 151 * DAY_S
    assert world.version(fleet(made())) == renewed
    world.restart()
    assert world.version(fleet(made())) == renewed
    assert world.sent(renewed) == new


def test_other_names_make_another(world: World) -> None:
    """A changed spec is a new version and a new certificate, and so is going back."""
    one = world.sent(world.version(fleet(made("a.example"))))
    two = world.sent(world.version(fleet(made("b.example"))))
    three = world.sent(world.version(fleet(made("a.example"))))
    assert len({one.serial_number, two.serial_number, three.serial_number}) == 3


def test_a_kept_certificate_that_is_damaged_is_replaced(world: World) -> None:
    """What cannot be read from the store is made again."""
    world.kept.certificates[REF] = KeptCertificate("x", b"no key", b"no chain", 0.0)
    world.sent(world.version(fleet(made())))
    assert world.kept.puts == 1


@pytest.mark.parametrize("name", ["exa mple", "-a.example", "a..b", "bücher.example", "x" * 64 + ".example"])
def test_names_that_are_none_are_withheld(world: World, name: str) -> None:
    """The Problem names the file, the resource and the name; the others are not held up."""
    wrong = Certificate(self_signed=SelfSigned.model_construct(names=(name,), days=90))
    both = fleet(made(), wrong)
    problems = world.certificates.problems(both)
    assert [problem.ref for problem in problems] == [Ref("Certificate", "c1")]
    assert repr(name) in problems[0].what
    assert str(problems[0].where) == "tls.yaml:7:1"
    world.sent(world.version(both))


def test_a_chain_with_its_sealed_key_is_sent_as_it_is(world: World) -> None:
    """The key is opened once to be checked and each time it is sent, and each opening is recorded with its purpose."""
    wanted, pair = given()
    version = world.version(fleet(wanted))
    world.version(fleet(wanted))
    assert world.certificates.problems(fleet(wanted)) == ()
    for _ in range(2):
        secret = read(world.certificates.secret(asked(version)))
        assert secret.tls_certificate.private_key.inline_bytes == pair.key_pem
        assert secret.tls_certificate.certificate_chain.inline_bytes == pair.chain_pem
    assert world.opened == [(REF, "check"), (REF, "sds"), (REF, "sds")]
    assert world.kept.puts == 0


def test_sealing_the_same_key_again_changes_no_version(world: World) -> None:
    """Ciphertext differs each time; what proxies have does not."""
    wanted, pair = given()
    again = wanted.model_copy(update={"key": seal(pair.key_pem, [KEYS.recipient], b"k")})
    assert again.key != wanted.key
    assert world.version(fleet(again)) == world.version(fleet(wanted))


def test_what_cannot_be_opened_is_withheld_until_it_can(world: World) -> None:
    """A Problem for that Certificate alone, an error in words when it is asked for, and another version once it opens."""
    wanted, _ = given()
    world.identities = ()
    world.restart()
    both = fleet(wanted, made())
    closed = world.version(both)
    assert [problem.ref for problem in world.certificates.problems(both)] == [REF]
    with pytest.raises(SecretError, match="cannot open the secret of Certificate/shop"):
        world.certificates.secret(asked(closed))
    other = Ref("Certificate", "c1")
    world.certificates.secret(asked(world.version(both, other), other))
    world.identities = (KEYS.identity,)
    world.restart()
    assert world.version(both) != closed
    world.sent(world.version(both))


def test_a_key_of_another_certificate_is_withheld(world: World) -> None:
    """The Problem says so, and nothing of either key is in it."""
    other = tls.self_signed(["other.example"], 1, 6, START)
    wanted, pair = given(key=other.key_pem)
    (problem,) = world.certificates.problems(fleet(wanted))
    assert "the key is not that of the chain's first certificate" in problem.what
    with pytest.raises(SecretError) as raised:
        world.certificates.secret(asked(world.version(fleet(wanted))))
    for line in (*pair.key_pem.decode().splitlines()[1:-1], *other.key_pem.decode().splitlines()[1:-1]):
        assert line not in f"{problem}{raised.value}"


@pytest.mark.parametrize("key", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_withheld(world: World, key: bytes) -> None:
    """What was sealed is no key: said without quoting it."""
    wanted, _ = given(key=key)
    (problem,) = world.certificates.problems(fleet(wanted))
    assert problem.what == "cannot use Certificate/shop: the key cannot be read as a PEM private key"


def test_a_chain_that_is_none_is_withheld(world: World) -> None:
    """The key is not even opened for it."""
    wanted, _ = given()
    broken = wanted.model_copy(update={"chain": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"})
    (problem,) = world.certificates.problems(fleet(broken))
    assert "the chain cannot be read" in problem.what
    assert world.opened == []


def test_dates_and_order_are_problems_and_are_sent_all_the_same(world: World) -> None:
    """Expired, not yet valid, or in a wrong order: shown to whoever wrote it; withholding it would not make it better."""
    expired, _ = given(days=10, begins=START - 20 * DAY_S)
    early, _ = given(begins=START + DAY_S)
    mixed, _ = given(chain=tls.self_signed(["other.example"], 90, 6, START).chain_pem)
    for wanted, words in ((expired, "has expired on 2027-01-05"), (early, "is not valid before"), (mixed, "is not issued by")):
        (problem,) = world.certificates.problems(fleet(wanted))
        assert words in problem.what
        world.sent(world.version(fleet(wanted)))


def test_versions_reveal_nothing_and_depend_on_nothing_else(world: World) -> None:
    """Two keys for one chain cannot be told apart from outside without the hash key; tenants do not share versions."""
    wanted, _ = given()
    refs = {1: Ref("Certificate", "shop", "other")}
    versions = world.certificates.versions(fleet(wanted, wanted, refs=refs))
    assert len(set(versions.values())) == 2
    assert all(len(version) == 16 for version in versions.values())


def test_what_is_not_declared_is_told(world: World) -> None:
    """Asked for a Certificate that no fleet has: an error that names it."""
    with pytest.raises(SecretError, match="Certificate/shop is not declared"):
        world.certificates.secret(asked("v"))
    with pytest.raises(SecretError, match="is no secret"):
        world.certificates.secret(replace(asked("v"), secret=None))


def test_an_unknown_version_gets_what_its_certificate_has_now(world: World) -> None:
    """A proxy's last good snapshot may name a version of before a restart."""
    leaf = world.sent(world.version(fleet(made())))
    world.restart()
    world.version(fleet(made()))
    assert world.sent("of-long-ago") == leaf


def test_sealed_values_are_not_in_reprs() -> None:
    """Whoever prints what holds a key does not print the key."""
    wanted, pair = given()
    line = pair.key_pem.decode().splitlines()[1]
    kept = KeptCertificate("s", pair.key_pem, pair.chain_pem, 0.0)
    assert isinstance(wanted.key, Sealed)
    assert line not in f"{wanted!r}{pair!r}{kept!r}{Opener([KEYS.identity], lambda ref, purpose: None)!r}"
