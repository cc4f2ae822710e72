"""Documents on trial: the answer is what the loop would plan, nothing is written, and what a stranger sends opens nothing."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reconciler.ask import AskError
from reconciler.core.against import Answer, Question, question_json, read_answer
from reconciler.core.facts import DELETES, Order
from reconciler.core.guard import owners
from reconciler.core.premises import Premises
from reconciler.core.show import Background, plan_json
from reconciler.git import Directory
from reconciler.load import Loader
from reconciler.loop import Loop
from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.trial import Trial
from reconciler.wanted import Accepted
from tests.test_loop import World, settled

HEAD = "apiVersion: convoy/v1\nkind: {kind}\nmetadata:\n  name: {name}\n"


def document(kind: str, name: str, spec: str = "") -> bytes:
    return (HEAD.format(kind=kind, name=name) + (f"spec: {spec}\n" if spec else "spec: {}\n")).encode()


def container(name: str, version: str = "1", more: str = "", deletion: str = "", hook: str = "") -> bytes:
    name = f"{name}\n  deletion: {deletion}" if deletion else name
    name = f"{name}\n  hook: {{when: {hook}}}" if hook else name
    return document("Container", name, f'{{command: ["true"], environment: {{VERSION: "{version}"}}{more}}}')


BASE: Mapping[str, bytes] = {
    "hosts.yaml": document("Host", "h1", "{driver: process}"),
    "settings.yaml": document("Settings", "fleet", "{drainSeconds: 0}"),
    "a.yaml": container("a"),
    "b.yaml": container("b"),
    "edge.yaml": document("Configuration", "edge", "{listeners: [{name: http, port: 18080, routes: r}], routes: [{name: r}]}"),
    "group.yaml": document("ProxyGroup", "edge", "{configuration: edge}"),
    "proxy.yaml": document("Proxy", "edge-1", "{group: edge}"),
}
GONE = object()
# Only where something hangs.
PATIENCE_S = 250.0


def changed(**files: bytes | object) -> dict[str, bytes]:
    """The base with these files instead."""
    new = {**BASE, **{f"{name}.yaml": content for name, content in files.items()}}
    return {path: content for path, content in new.items() if isinstance(content, bytes)}


class Convoy:
    """The real loop on machines in memory, and documents on trial beside it."""

    def __init__(self, world: World, loop: Loop, store: Store, folder: Path) -> None:
        self.world, self.loop, self.store, self.folder = world, loop, store, folder
        self.trial = Trial(lambda: loop.premises, store, "inst", Seams())
        self.loader = Loader(None, Seams())

    def accept(self, files: Mapping[str, bytes]) -> None:
        """As if a commit had come."""
        for old in self.folder.iterdir():
            old.unlink()
        for path, content in files.items():
            (self.folder / path).write_bytes(content)
        source = Directory(self.folder, Seams())
        try:
            loaded = self.loader.load(source.tree(source.fetch()), source.read)
        finally:
            source.close()
        assert loaded.fleet is not None, loaded.problems
        self.world.wish.accepted = Accepted(loaded.fleet, noticed_at=Seams().now())

    def settle(self) -> None:
        settled(self.loop)

    def ask(self, files: Mapping[str, bytes], message: str = "", **more: str) -> Answer:
        body = question_json(Question(files, more.get("root", ""), "next", message, "me <m@e>", form="json"))
        return read_answer(self.trial.asked(body, Seams().monotonic() + PATIENCE_S), "json")


@pytest.fixture
def convoy(tmp_path: Path) -> Iterator[Convoy]:
    (tmp_path / "fleet").mkdir()
    world = World(tmp_path)
    with world.convoy() as (loop, store):
        playing = Convoy(world, loop, store, tmp_path / "fleet")
        playing.accept(BASE)
        playing.settle()
        yield playing


@pytest.mark.parametrize(
    "files",
    [
        changed(),
        changed(a=container("a", "2")),
        changed(c=container("c"), b=GONE),
        changed(a=GONE, b=GONE),
        changed(
            edge=document("Configuration", "edge", "{listeners: [{name: h2, port: 18081, routes: r}], routes: [{name: r}]}")
        ),
        changed(settings=document("Settings", "fleet", "{drainSeconds: 60}"), a=container("a", deletion="confirm")),
        changed(hosts=document("Host", "h1", "{driver: process, state: draining}")),
        changed(proxy=GONE),
        changed(
            settings=document("Settings", "fleet", "{drainSeconds: 0, sync: manual}"), a=container("a", "2"), c=container("c")
        ),
        changed(h=container("h", hook="before-sync")),
    ],
    ids=range(10),
)
def test_the_answer_is_what_the_loop_plans_next(convoy: Convoy, files: dict[str, bytes]) -> None:
    """Once those documents are accepted, in the very next round; holds, budgets and what proxies are told included."""
    answer = convoy.ask(files)
    convoy.accept(files)
    planned = convoy.loop.tick().plan
    assert planned is not None
    assert convoy.loop.premises is not None
    fleet, seen = convoy.world.wish.accepted.fleet, convoy.loop.premises.seen
    assert fleet is not None
    expected = plan_json(planned, convoy.trial._told_before(planned), Background(fleet, owners(fleet, seen)))
    said = dict(answer.data)
    for plan in (said, expected):
        # The time until a drain is over begins when it does; and the revision has another name.
        plan.pop("revision"), plan.pop("wakeAt")
        for step in plan["steps"]:
            for held in step["held"]:
                held.pop("until")

    assert said == json.loads(json.dumps(expected))
    assert answer.changes == bool(planned.actions)
    assert answer.moment.installation == "inst"


def test_nothing_is_written(convoy: Convoy) -> None:
    """Neither by a plan, nor by a trailer in it, nor by a revision with problems."""
    before, guards, orders = convoy.store.writes, convoy.store.guards(), convoy.store.orders()
    convoy.ask(changed(a=GONE, c=container("c")), "words\n\nConvoy-Confirm: deletes\nConvoy-Confirm: Container/a\n")
    convoy.ask(changed(a=b"nonsense"))

    assert (convoy.store.writes, convoy.store.guards(), convoy.store.orders()) == (before, guards, orders)
    assert convoy.loop.tick().plan == convoy.loop.view.plan
    assert convoy.loop.view.plan is not None
    assert not convoy.loop.view.plan.actions


def test_trailers_of_the_commit_count(convoy: Convoy) -> None:
    """What waits for a confirm goes ahead in the plan of the commit that says so, and in no other."""
    guarded = changed(a=container("a", deletion="confirm"))
    convoy.accept(guarded)
    convoy.settle()
    held = convoy.ask(changed(a=GONE)).data
    let_go = convoy.ask(changed(a=GONE), "Remove a\n\nConvoy-Confirm: Container/a\n").data

    assert [(step["change"], step["ref"]) for step in held["steps"]] == [("hold", "Container/a")]
    assert not any("confirm" in one["reason"] for step in let_go["steps"] for one in step["held"])
    assert convoy.ask(changed(a=GONE)).data["steps"] == held["steps"]


def test_an_emptied_repository_is_a_problem(convoy: Convoy) -> None:
    """As it is for the Convoy that follows it; with the trailer it is a plan."""
    (problem,) = convoy.ask({}).problems
    assert "declares nothing at all" in problem.what
    assert not convoy.ask({}, "All of it\n\nConvoy-Confirm: deletes\n").problems


def test_content_that_is_held_is_a_problem(convoy: Convoy) -> None:
    """What was rolled back is not to come back, and whoever asks is told before the commit is."""
    assert convoy.loop.premises is not None
    digest = next(one.digest for ref, one in convoy.loop.premises.fleet.resources.items() if str(ref) == "Container/b")
    convoy.accept(changed(b=container("b", "2")))
    convoy.store.put_order(Order("hold", f"Container/b@{digest}", "it was slow", "me", 1.0))
    convoy.settle()
    (problem,) = convoy.ask(changed()).problems

    assert (problem.where.file, problem.where.line) == ("b.yaml", 1)
    assert "was rolled back" in problem.what


def test_problems_are_those_of_the_loader(convoy: Convoy) -> None:
    """All of them, with file and line; the fleet's own directory and what lies outside of it are told apart."""
    answer = convoy.ask(changed(a=container("a", "1", ", colour: red"), c=b"kind: ["))
    assert {problem.where.file for problem in answer.problems} == {"a.yaml", "c.yaml"}
    assert not answer.data

    moved = {f"fleet/{path}": content for path, content in BASE.items()}
    assert not convoy.ask(moved, root="fleet/").data["steps"]


def test_a_strangers_secret_is_not_opened(convoy: Convoy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a Container nor of a Certificate: the answer would tell whether our key opens it."""
    sealed = "{age: aGVsbG8=, hash: 0123456789abcdef}"
    files = changed(
        s=document("Container", "s", f'{{command: ["true"], environment: {{KEY: {sealed}}}}}'),
        t=document("Certificate", "t", f"{{chain: nonsense, key: {sealed}}}"),
        u=document("Certificate", "u", "{selfSigned: {names: [a.example]}}"),
    )
    opened = [event for event in convoy.store.events(limit=1000) if event.kind == "secret.opened"]
    known = dict(convoy.loop.certificates._latest)
    answer = convoy.ask(files)

    assert not any(problem.where.file == "u.yaml" for problem in answer.problems)
    assert [event for event in convoy.store.events(limit=1000) if event.kind == "secret.opened"] == opened
    assert dict(convoy.loop.certificates._latest) == known


def test_documents_in_force_are_for_those_who_may_read(convoy: Convoy) -> None:
    """Others could find out what they say by asking what differs from a guess: to them not even the number is told."""
    body = question_json(Question(changed(a=container("a", "2")), revision="next", form="json"))
    deadline = Seams().monotonic() + PATIENCE_S
    answers = [json.loads(answer(body, deadline))["plan"] for answer in convoy.trial.requests().values()]
    plain, reading = (answer["blast"]["documents"] for answer in answers)

    assert plain == {"added": 0, "changed": 0, "removed": 0}
    assert sum(reading.values()) > 0


def test_before_the_first_revision_there_is_no_answer(convoy: Convoy) -> None:
    """Nothing is known to be wanted: no plan is better than one that creates everything anew."""
    empty = Trial(lambda: None, convoy.store, "inst", Seams())
    with pytest.raises(AskError, match="no revision is in force") as raised:
        empty.asked(question_json(Question(BASE)), Seams().monotonic() + 5)
    assert raised.value.code == "no-revision"


def test_the_deadline_is_kept(convoy: Convoy) -> None:
    """By whoever waits for his turn, and by whoever has it."""
    with pytest.raises(AskError) as raised:
        convoy.trial.asked(question_json(Question(changed(z=container("z")))), Seams().monotonic() - 1)
    assert raised.value.code == "late"
    assert convoy.trial._lock.acquire(blocking=False)
    with pytest.raises(AskError):
        convoy.trial.asked(question_json(Question(BASE)), Seams().monotonic() + 0.05)
    convoy.trial._lock.release()
    assert not convoy.ask(BASE).data["steps"]


def test_premises_are_a_value(convoy: Convoy) -> None:
    """What a question began with does not change while rounds go on."""
    before: Premises | None = convoy.loop.premises
    assert before is not None
    kept = (dict(before.seen.resources), dict(before.facts.settled), dict(before.facts.published), before.facts.orders)
    convoy.accept(changed(a=container("a", "2"), b=GONE))
    convoy.store.put_order(Order("confirm", DELETES, "", "me", Seams().now()))
    convoy.settle()

    assert convoy.loop.premises is not before
    assert kept == (dict(before.seen.resources), dict(before.facts.settled), dict(before.facts.published), before.facts.orders)


def test_what_an_envoy_has_refused_stays_out(convoy: Convoy) -> None:
    """The next revision still has it in it: nothing would be told, since nothing that can be told has changed."""
    assert convoy.loop.premises is not None
    snapshot = convoy.loop.premises.wanted["edge-1"]
    (listener,) = snapshot.resources["lds"].values()
    convoy.store.refuse(listener.version, "1.40.0", "lds", listener.name, "no", 1.0)
    convoy.loop.proxies.recall()
    convoy.settle()
    assert "http" not in convoy.loop.premises.facts.snapshots["edge-1"].resources["lds"]

    assert not convoy.ask(changed()).data["steps"]
    assert [step["ref"] for step in convoy.ask(changed(c=container("c"))).data["steps"]] == ["Container/c"]


def test_an_environment_is_made_of_its_layers(convoy: Convoy) -> None:
    """Which ones is read from the documents that were sent; a base that was not sent is a Problem."""
    environment = document("Environment", "prod", "{bases: [../../base]}")
    files = {f"base/{path}": content for path, content in BASE.items()}
    files |= {"env/prod/environment.yaml": environment, "env/prod/c.yaml": container("c")}
    assert [step["ref"] for step in convoy.ask(files, root="env/prod/").data["steps"]] == ["Container/c"]
    alone = {path: content for path, content in files.items() if path.startswith("env/")}
    (problem, *_) = convoy.ask(alone, root="env/prod/").problems
    assert "cannot be a base" in problem.what
