"""Checking finds everything that is wrong, says where, and says how to mend it."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import envelope
from reconciler.core.envelope import UIDS, Checked
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.spec import Reference, Spec
from reconciler.core.model import Ref
from reconciler.core.parse import Document
from reconciler.core.validate import MOST_PROBLEMS, Memo, validate
from tests.core.checked import check, document, documents, problems


def test_a_sound_document_becomes_a_resource() -> None:
    """Its ref, uid, labels, typed spec, source and a digest of what it says."""
    text = "# c\nkind: Host\napiVersion: convoy/v1\nmetadata: {name: a, labels: {x: y}}\n"
    resource = check(text).resources[Ref("Host", "a")]
    assert resource.labels == {"x": "y"}
    assert resource.spec == KINDS["Host"]()
    assert (resource.source.file, resource.source.line, resource.source.end) == ("f.yaml", 1, len(text))
    again = check("apiVersion: convoy/v1\nkind: Host\nmetadata:\n  labels: {x: 'y'}\n  name: a # c\n").resources[
        Ref("Host", "a")
    ]
    assert (again.digest, again.uid) == (resource.digest, resource.uid)
    assert check(text.replace("x: y", "x: z")).resources[Ref("Host", "a")].digest != resource.digest


def test_uids_stay() -> None:
    """A document without a uid has one that follows from its ref alone; one that is written is kept."""
    uid = check(document("Host", "a")).resources[Ref("Host", "a")].uid
    assert check({"tenants/t/f.yaml": document("Host", "a")}).resources[Ref("Host", "a", "t")].uid != uid
    assert uid == str(uuid.uuid5(UIDS, "Host/a"))
    written = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a, uid: 6f1c1f0e-3f0b-4c39-9c6e-0a2f6d1e7b10}\n"
    assert check(written).resources[Ref("Host", "a")].uid == "6f1c1f0e-3f0b-4c39-9c6e-0a2f6d1e7b10"
    twice = problems(written + "---\n" + written.replace("name: a", "name: b"))
    assert twice == [
        "f.yaml:7:26: this uid is taken: first at f.yaml:3:26 (remove it from the newer of the two: left out, one is made)"
    ]


def test_two_resources_of_one_name_point_to_both_places() -> None:
    """A name is taken once per kind and tenant; the same name elsewhere is another resource."""
    files = {
        "a.yaml": document("ProxyGroup", "x"),
        "b.yaml": document("ProxyGroup", "y") + document("ProxyGroup", "x"),
        "tenants/t/c.yaml": document("ProxyGroup", "x"),
    }
    found = check(files)
    assert [str(problem) for problem in found.problems] == [
        "b.yaml:8:18: ProxyGroup/x is declared twice: first at a.yaml:3:18 (rename or remove one of the two)"
    ]
    assert not found.whole
    assert set(found.resources) == {Ref("ProxyGroup", "x"), Ref("ProxyGroup", "y"), Ref("ProxyGroup", "x", "t")}


def test_references_to_nothing() -> None:
    """Each is a Problem where the name stands, with the nearest name there is."""
    web = document("Application", "web", "{command: [x], ports: [{}]}")
    assert problems(web + document("Proxy", "p", "{group: edge}")) == [
        "f.yaml:9:15: there is no ProxyGroup 'edge' (declare one: there is none at all)"
    ]
    weights = document("VirtualHost", "v", "{group: edge, port: 1, domains: [a], weights: {wbe: 1, web: 2}}")
    assert problems(web + document("ProxyGroup", "edge") + weights) == [
        "f.yaml:14:54: there is no Cluster or Application 'wbe' (did you mean 'web'?)"
    ]
    assert problems(web + document("Container", "c", "{command: [x], host: h}") + document("Host", "far"))[0].endswith(
        "(there is far)"
    )


def test_a_broken_document_is_still_declared() -> None:
    """Who names a document that has a mistake hears nothing of it: the mistake is reported once, where it is."""
    assert len(problems(document("ProxyGroup", "edge", "{xds: x}") + document("Proxy", "p", "{group: edge}"))) == 1
    assert len(problems(document("ProxyGrup", "edge") + document("Proxy", "p", "{group: edge}"))) == 1
    unread = [b"kind: ProxyGroup\nmetadata: {name: edge}\nspec: ["]
    assert problems(document("Proxy", "p", "{group: edge}"), unread=unread) == []
    assert len(problems(document("Proxy", "p", "{group: egde}"), unread=unread)) == 1


def test_tenants_see_only_their_own() -> None:
    """The directory says whose a document is, and a reference leads to nobody else's."""
    files = {
        "tenants/t/p.yaml": document("Proxy", "p", "{group: edge}"),
        "g.yaml": document("ProxyGroup", "edge") + document("Proxy", "q", "{group: mine}"),
        "tenants/u/g.yaml": document("ProxyGroup", "mine"),
        "tenants/x.yaml": document("Host", "h"),
        "tenants/Big_T/x.yaml": document("Host", "h"),
        "tenants/t/deeper/s.yaml": document("Settings", "s"),
    }
    assert problems(files) == [
        "g.yaml:9:15: there is no ProxyGroup 'mine' (tenant 'u' has one, but documents name only what is their own tenant's)",
        (
            "tenants/Big_T/x.yaml:1:1: 'Big_T' is not the name of a tenant"
            " (name the directory by lower-case letters, digits and `-` between them, at most 63)"
        ),
        (
            "tenants/t/deeper/s.yaml:2:7: Settings are the whole fleet's, and this is a tenant's directory"
            " (move it out of tenants/)"
        ),
        (
            "tenants/t/p.yaml:4:15: there is no ProxyGroup 'edge' in tenant 't'"
            " (there is one outside tenants/, but documents name only what is their own tenant's)"
        ),
        "tenants/x.yaml:1:1: is in no tenant's directory (move it to tenants/<tenant>/)",
    ]
    below = check({"fleet/tenants/t/h.yaml": document("Host", "h")}, root="fleet/")
    assert set(below.resources) == {Ref("Host", "h", "t")}
    assert problems({"fleet/tenants/t/h.yaml": document("Host", "h"), "tenants/t/tenants/u/h.yaml": document("Host", "h")}) == [
        f"{file}:1:1: is in a directory `tenants` that is not at the root of its fleet"
        " (move it to tenants/<tenant>/, or call the directory something else)"
        for file in ("fleet/tenants/t/h.yaml", "tenants/t/tenants/u/h.yaml")
    ]


def test_one_settings_document() -> None:
    """A second one is a Problem that names the first, whatever it is called."""
    assert problems({"a.yaml": document("Settings", "x"), "b.yaml": document("Settings", "y")}) == [
        "b.yaml:2:7: a second Settings document: the first is at a.yaml:3:18 (put everything into one)"
    ]


def test_hosts_have_names_of_their_own_across_tenants() -> None:
    """What runs on a host is found again by the host's name: one that two tenants declare is a Problem at the later one."""
    mine = {"h.yaml": document("Host", "h"), "tenants/t/h.yaml": document("Host", "h")}
    assert problems(mine) == [
        (
            "tenants/t/h.yaml:3:18: Host/t/h has the name of Host/h, declared at h.yaml:3:18"
            " (every tenant's hosts bear names of their own: rename one of the two)"
        )
    ]
    assert problems({"h.yaml": document("Host", "h"), "tenants/t/h.yaml": document("Host", "h-2")}) == []


class Linked(Spec):
    """A kind that may name its own kind."""

    example: ClassVar[dict[str, Any]] = {}
    to: tuple[str, ...] = ()
    """Others."""

    def references(self) -> Iterator[Reference]:
        for i, name in enumerate(self.to):
            yield Reference(("to", i), ("Linked",), name)


def test_cycles_are_found_once() -> None:
    """Resources that need each other in a circle are a Problem at the reference that closes it; others are not."""
    kinds: dict[str, type[Spec]] = {"Linked": Linked}
    links = {"a": "b", "b": "c", "c": "a, d", "d": "e", "e": "", "f": "f", "g": "d, e, a"}
    text = "".join(document("Linked", name, f"{{to: [{to}]}}") for name, to in links.items())
    found = problems(text, kinds=kinds)
    assert [problem.split(": ", 1)[1] for problem in found] == [
        "a cycle: Linked/a → Linked/b → Linked/c → Linked/a (remove one of these references)",
        "a cycle: Linked/f → Linked/f (remove one of these references)",
    ]
    long = "".join(document("Linked", f"n{i}", f"{{to: [n{(i + 1) % 3000}]}}") for i in range(3000))
    assert len(problems(long, kinds=kinds)) == 1


def test_fixed_ports_of_workloads_clash_on_one_host() -> None:
    """Where it is known that two share a host they cannot share a port, and neither can a proxy's listener."""
    host, other = document("Host", "h"), document("Host", "i")
    one_, two = (f"{{command: [x], host: {where}, ports: [{{port: 8080}}]}}" for where in ("h", "i"))
    free = "{command: [x], ports: [{port: 8080}]}"
    assert (
        "Container/a has it, f.yaml:9:46"
        in problems(host + document("Container", "a", one_) + document("Container", "b", one_))[0]
    )
    assert problems(host + other + document("Container", "a", one_) + document("Container", "b", two)) == []
    assert len(problems(host + document("Container", "a", free) + document("Application", "b", free))) == 1
    assert problems(host + other + document("Container", "a", free) + document("Container", "b", free)) == []
    replicas = "{command: [x], replicas: 2, ports: [{port: 8080}]}"
    assert "2 replicas on one host cannot all have port 8080" in problems(host + document("Application", "a", replicas))[0]
    assert problems(host + other + document("Application", "a", replicas)) == []
    assert problems(host + document("Application", "a", replicas.replace("port: 8080", ""))) == []
    proxy = document("ProxyGroup", "g") + document("VirtualHost", "v", "{group: g, port: 8080, domains: [a], backend: b}")
    proxy += document("Application", "b", "{command: [x], ports: [{}]}") + document("Proxy", "p", "{group: g}")
    assert "Container/a has it" in problems(host + document("Container", "a", one_) + proxy)[0]
    moved = proxy.replace("{group: g}", "{group: g, ports: {port-8080: 8081}}")
    assert problems(host + document("Container", "a", one_) + moved) == []


def test_names_leave_room_for_what_is_made_from_them() -> None:
    """The replicas' names are names as well."""
    assert problems(document("Application", "a" * 61, "{command: [x]}")) == []
    assert "use at most 61 characters" in problems(document("Application", "a" * 62, "{command: [x]}"))[0]
    assert problems(document("Container", "a" * 63, "{command: [x]}")) == []


def test_problems_are_capped() -> None:
    """A thousand are listed, in order, and the rest counted."""
    found = check("".join(document("Proxy", f"p{i}", "{group: nothing}") for i in range(3000))).problems
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1].what == "2000 more Problems are not shown"
    assert list(found) == sorted(found, key=lambda problem: (problem.where.file, problem.where.line))
    many = check(
        document("Container", "c", f"{{command: [x], environment: {{{', '.join(f'a{i}: 1' for i in range(500))}}}}}")
    ).problems
    assert 100 <= len(many) <= 101


def test_the_order_of_documents_makes_no_difference() -> None:
    """Same fleet, other order: same resources, same Problems."""
    text = "".join(yaml.safe_dump(model.example) + "---\n" for model in KINDS.values())
    given_ = documents({"b.yaml": text, "a.yaml": document("Host", "local") + document("Proxy", "p", "{group: nothing}")})
    forwards, backwards = validate(given_), validate(reversed(given_))
    assert forwards.resources == backwards.resources
    assert forwards.problems == backwards.problems
    assert len(forwards.problems) == 2


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["a.yaml", "b.yaml", "tenants/t/c.yaml"]),
        st.lists(
            st.sampled_from(
                [
                    document("Host", "h"),
                    document("Host", "h", "{ports: 30000-30001}"),
                    document("Host", "i"),
                    document("Container", "c", "{command: [x]}"),
                    document("Container", "c", "{command: [x], host: h}"),
                    document("Container", "c", "{command: [y], host: h, ports: [{port: 8080}]}"),
                    document("Container", "d", "{command: [y], host: h, ports: [{port: 8080}]}"),
                    document("Container", "d", "{command: [y], host: nowhere}"),
                    document("ProxyGroup", "g"),
                    document("Proxy", "p", "{group: g}"),
                    document("Proxy", "p", "{group: g, host: h}"),
                    document("Settings", "s"),
                    document("Settings", "t", "{drainSeconds: 1}"),
                    document("Hots", "h"),
                ]
            ),
            max_size=4,
        ).map("".join),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(EDITS)
def test_incremental_equals_from_scratch(edits: list[tuple[str, str]]) -> None:
    """What was found out before saves work and never changes the answer."""
    memo = Memo()
    parsed: dict[str, list[Document]] = {}
    for file, text in edits:
        parsed[file] = documents({file: text})
        given_ = [document for file in sorted(parsed) for document in parsed[file]]
        kept = validate(given_, memo)
        for one in given_:
            one.found.clear()
        fresh = validate(given_)
        assert kept == fresh
        assert list(kept.resources) == list(fresh.resources)


def test_an_edit_costs_its_own_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged documents are not even looked at, as long as nothing about the edit can concern them."""
    memo = Memo()
    first = documents({f"{i}.yaml": document("Container", f"c{i}", "{command: [x], host: h}") for i in range(50)})
    first += documents({"h.yaml": document("Host", "h")})
    before = validate(first, memo)
    assert before.problems == ()
    edited = [*first[:5], *documents({"5.yaml": document("Container", "c5", "{command: [y], host: h}")}), *first[6:]]
    monkeypatch.setattr("reconciler.core.validate._whole", None)
    after = validate(edited, memo)
    assert after.resources[Ref("Container", "c4")] is before.resources[Ref("Container", "c4")]
    assert after.documents[Ref("Container", "c5")] is edited[5]


def test_who_has_the_same_documents_checks_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one finds of a document another has as well, where it is in the same tenant and of the same kinds."""
    given_ = documents({"tenants/eu/a.yaml": document("Container", "a", "{command: [x], host: h}")})
    given_ += documents({"tenants/eu/h.yaml": document("Host", "h")})
    first = validate(given_, Memo())
    checks: list[str] = []

    def counted(one: Document, tenant: str, kinds: Mapping[str, type[Spec]]) -> Checked:
        checks.append(tenant)
        return envelope.check(one, tenant, kinds)

    monkeypatch.setattr("reconciler.core.validate.check", counted)
    second = validate(given_, Memo())
    assert first == second
    assert all(first.resources[ref] is second.resources[ref] for ref in first.resources)
    assert checks == []
    other = validate(given_, Memo(), root="tenants/")
    assert checks == ["default", "default"]
    assert other.resources.keys().isdisjoint(first.resources)
