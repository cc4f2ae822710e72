"""Makes random worlds: what is declared first, what befalls it, and where faults and kills are armed meanwhile."""

from random import Random
from typing import Any

from .events import HOSTS
from .faults import COMMITTED

Event = dict[str, Any]
# Where faults and kills strike: anywhere, or in one room; rooms passed often are named with more to skip.
ROOMS = (
    ("", 120),
    ("store.", 60),
    ("store.write", 40),
    ("store.commit", 40),
    ("store.read", 40),
    ("driver.observe", 20),
    ("driver.apply", 6),
    ("memory.observe", 20),
    ("memory.apply", 6),
    ("memory.applied", 6),
    ("rig.", 20),
    ("rig.applied", 6),
    ("source.", 4),
    ("xds.publish", 4),
)
# What commits change, by how often they do.
CHANGED = (
    *("Application/a",) * 3,
    *("Application/b", "Container/c1", "Container/c2", "Container/c4"),
    *("Host/h1", "Host/h2", "Host/h3", "Settings/fleet"),
    *("Proxy/e1", "Proxy/e2", "VirtualHost/v1", "VirtualHost/v2"),
)
KINDS = ("error", "error", "timeout", "slow", "nonsense")


class Maker:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        # What came later has a randomness of its own: a world is what it was before, and more.
        self.order, self.moves, self.pins = Random(f"order {seed}"), Random(f"moves {seed}"), Random(f"pins {seed}")
        self.commits, self.windows = Random(f"commits {seed}"), Random(f"windows {seed}")
        self.made: list[Event] = []
        self.refs: set[str] = set()

    def events(self) -> list[Event]:
        rng = self.rng
        hosts = HOSTS[: rng.randint(1, 3)]
        first: dict[str, dict[str, Any]] = {f"Host/{host}": {} for host in hosts}
        first["Settings/fleet"] = {"drain": rng.choice((0, 0, 1, 2, 10))}
        for name in ("a", "b")[: rng.choice((0, 1, 1, 2))]:
            first[f"Application/{name}"] = {"replicas": rng.randint(1, 3)}
        for n in range(rng.randint(0, 3)):
            first[f"Container/c{n + 1}"] = {"host": rng.choice((*hosts, None))}
        if "Application/a" in first and rng.random() < 0.85:
            first["ProxyGroup/edge"] = {}
            first["VirtualHost/v1"] = {"backend": "a"}
            for n in range(rng.randint(1, 2)):
                first[f"Proxy/e{n + 1}"] = {"host": rng.choice((*hosts, None))}
        if self.order.random() < 0.3:
            first["Container/m"] = {
                "hook": {"when": self.order.choice(("before-sync", "after-sync")), "only": ["applications"]}
            }
        self.refs = set(first)
        self.made.append({"do": "commit", "set": first})
        for host in hosts:
            if rng.random() < 0.3:
                self.made.append({"do": "vice", "host": host, "healthy_after_s": rng.choice((0.0, 1.0, 4.0))})
        self.wait(rng.choice((0, 3, 10)))
        weights = {
            self.commit: 6,
            self.fault: 8,
            self.kill: 3,
            self.outage: 2,
            self.vice: 2,
            self.disturb: 3,
            self.silence: 1,
            self.restart: 1,
            self.suspend: 1,
            self.stall: 1,
        }
        for _ in range(rng.randint(3, 24)):
            rng.choices([*weights], [*weights.values()])[0]()
            self.move()
            self.pin()
            self.lose_the_answer()
            self.window()
            if rng.random() < 0.7:
                self.wait(rng.choice((0.05, 0.3, 1, 1, 3, 8, 20)))
        return self.made

    def wait(self, seconds: float) -> None:
        if seconds:
            self.made.append({"do": "wait", "s": seconds})

    def commit(self) -> None:
        rng = self.rng
        roll = rng.random()
        if roll < 0.05:
            said = {"message": "All of it\n\nConvoy-Confirm: deletes"} if rng.random() < 0.3 else {}
            self.made.append({"do": "commit", "empty": True, **said})
            return
        if roll < 0.1:
            self.made.append({"do": "commit", "broken": True})
            return
        if roll < 0.2 and self.refs:
            ref = rng.choice(sorted(self.refs))
            self.refs.discard(ref)
            self.made.append({"do": "commit", "drop": [ref]})
            return
        changed: dict[str, dict[str, Any]] = {}
        for _ in range(rng.randint(1, 2)):
            ref = rng.choice(CHANGED)
            changed.setdefault(ref, {}).update(self.words(ref) | self.needs(ref))
        self.refs |= changed.keys()
        self.made.append({"do": "commit", "set": changed})

    def move(self) -> None:
        """A new backend, slow to start, and traffic led to it in the same commit; the one before may be dropped with it."""
        if "VirtualHost/v1" not in self.refs or self.moves.random() > 0.1:
            return
        new, old = self.moves.sample(("a", "b", "c"), 2)
        for host in HOSTS:
            self.made.append({"do": "vice", "host": host, "healthy_after_s": self.moves.choice((0.5, 2.0, 4.0))})
        said: dict[str, dict[str, Any]] = {
            f"Application/{new}": {"replicas": self.moves.randint(1, 2)},
            "VirtualHost/v1": {"backend": new, "refused": False},
        }
        drop = [f"Application/{old}"] if f"Application/{old}" in self.refs and self.moves.random() < 0.4 else []
        self.refs = (self.refs | said.keys()) - {*drop}
        self.made.append({"do": "commit", "drop": drop, "set": said})
        self.wait(self.moves.choice((0.3, 1, 8)))

    def pin(self) -> None:
        """A Configuration of their own for some proxies, which changes and is refused; and pins to what it was."""
        if "ProxyGroup/edge" not in self.refs or self.pins.random() > 0.2:
            return
        own = {"backend": self.pins.choice(("a", "a", "b")), "refused": self.pins.random() < 0.2}
        if "Configuration/own" not in self.refs or self.pins.random() < 0.3:
            self.refs.add("Configuration/own")
            self.made.append({"do": "commit", "set": {"Configuration/own": own}})
            return
        commits = sum(event["do"] == "commit" for event in self.made)
        how = self.pins.choice(({"own": True, "pin": 0}, {"own": False, "pin": 0}, {"pin": self.pins.randint(1, commits)}))
        proxies = [ref for ref in ("Proxy/e1", "Proxy/e2") if ref in self.refs]
        if proxies:
            self.made.append({"do": "commit", "set": {self.pins.choice(proxies): how}})

    def needs(self, ref: str) -> dict[str, Any]:
        """Never in a circle: Applications need `a` alone, and nothing needs a Container."""
        kind = ref.partition("/")[0]
        if kind not in ("Container", "Application") or ref == "Application/a" or self.order.random() > 0.15:
            return {}
        needed = ("Application/a",) if kind == "Application" else ("Application/a", "Application/b")
        return {"needs": self.order.choice([[], *([one] for one in needed)])}

    def words(self, ref: str) -> dict[str, Any]:
        rng = self.rng
        kind = ref.partition("/")[0]
        if kind == "Settings":
            return {"drain": rng.choice((0, 1, 2, 10)), "budget": rng.choice((0, 1, 2, 5, 20))}
        if kind == "VirtualHost":
            return {"backend": rng.choice(("a", "a", "b")), "refused": rng.random() < 0.3}
        if kind == "Proxy":
            return {"host": rng.choice((*HOSTS, None))}
        if kind == "Host":
            return {"state": rng.choice(("active", "active", "cordoned", "draining", "lost"))}
        roll = rng.random()
        if roll < 0.5:
            return {"version": rng.randint(1, 4)}
        if roll < 0.65:
            return {"live": rng.randint(0, 3)}
        if roll < 0.7:
            word, said = rng.choice(
                (
                    ("deletion", ("delete", "retain", "confirm")),
                    ("drift", ("correct", "report", "ignore", {"presence": "report"})),
                )
            )
            return {word: rng.choice(said)}
        if kind == "Container":
            return {"host": rng.choice((*HOSTS, None))}
        return {"replicas": rng.randint(0, 4)} if roll < 0.9 else {"hosts": sorted(rng.sample(HOSTS, rng.randint(0, 2)))}

    def fault(self) -> None:
        for _ in range(self.rng.choice((1, 1, 1, 2, 5))):
            point, most = self.rng.choice(ROOMS)
            kind = "nonsense" if point.startswith("rig.") else self.rng.choice(KINDS[:-1])
            self.made.append({"do": "fault", "kind": kind, "point": point, "skip": self.rng.randrange(most)})

    def window(self) -> None:
        """Changes are made every other minute alone, or by hand; or at any time again."""
        if self.windows.random() < 0.06:
            said = self.windows.choice(
                ({"window": "allow"}, {"window": "deny"}, {"sync": "manual"}, {"sync": "automatic", "window": ""})
            )
            self.made.append({"do": "commit", "set": {"Settings/fleet": said}})

    def lose_the_answer(self) -> None:
        """Of a commit of the store that has happened."""
        if self.commits.random() < 0.2:
            kind, skip = self.commits.choice(("kill", "kill", "error", "error", "timeout")), self.commits.randrange(30)
            self.made.append({"do": "fault", "kind": kind, "point": COMMITTED, "skip": skip})

    def kill(self) -> None:
        point, most = self.rng.choice(ROOMS)
        self.made.append({"do": "kill", "point": point, "skip": self.rng.randrange(most)})

    def outage(self) -> None:
        host = self.rng.choice(HOSTS)
        self.made.append({"do": "outage", "host": host, "on": True})
        self.wait(self.rng.choice((0.3, 3, 20)))
        if self.rng.random() < 0.5:
            self.commit()
        if self.rng.random() < 0.3:
            self.kill()
        self.wait(self.rng.choice((0.3, 3, 40)))
        if self.rng.random() < 0.8:
            self.made.append({"do": "outage", "host": host, "on": False})

    def vice(self) -> None:
        rng = self.rng
        name, value = rng.choice(
            (
                ("half_done", rng.sample(("create", "update", "delete"), rng.randint(0, 2))),
                ("slow_s", rng.choice((0.0, 0.5, 5.0))),
                ("slow_s", rng.choice((1.0, 3.0))),
                ("healthy_after_s", rng.choice((0.0, 2.0, 8.0))),
                ("healthy_after_looks", rng.randint(0, 3)),
                ("stale_looks", rng.randint(0, 2)),
                ("refuse", rng.choice((None, "create", "delete", "update"))),
            )
        )
        self.made.append({"do": "vice", "host": rng.choice(HOSTS), name: value})

    def disturb(self) -> None:
        how = self.rng.choice(("vanish", "lose", "sicken", "sicken", "recover", "change"))
        self.made.append({"do": "disturb", "how": how, "pick": self.rng.randrange(12)})

    def silence(self) -> None:
        self.made.append({"do": "silence", "on": self.rng.random() < 0.6})

    def suspend(self) -> None:
        subject = self.rng.choice(("fleet", "Application/a", "Container/c1", "Container/c2"))
        self.made.append({"do": "suspend", "subject": subject, "on": self.rng.random() < 0.6})

    def stall(self) -> None:
        self.made.append({"do": "stall", "s": self.rng.choice((3, 14, 20, 60))})
        self.wait(self.rng.choice((1, 20)))

    def restart(self) -> None:
        self.made.append({"do": "restart"})
