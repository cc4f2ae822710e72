"""Plays random worlds for as long as it is told to, shrinks what fails, and prints figures: `python -m tests.rig.soak`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .play import Report, play
from .scenarios import SCENARIOS, STRIKES, struck_at_each
from .worlds import FOLDER, World, law_of, random_world, shrink, written


@dataclass
class Figures:
    """Of all the worlds together."""

    worlds: int = 0
    rounds: int = 0
    lives: int = 0
    turns: int = 0
    points: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    longest_rounds: int = 0
    longest_s: float = 0.0

    def add(self, report: Report) -> None:
        self.worlds += 1
        self.rounds += report.rounds
        self.lives += report.lives
        self.turns += report.turns
        self.points += report.points
        self.struck += report.struck
        self.did += report.did
        if report.broken:
            self.broken[law_of(report)] += 1
        self.longest_rounds = max(self.longest_rounds, report.healing[0])
        self.longest_s = max(self.longest_s, report.healing[1])

    @property
    def faults(self) -> "Counter[str]":
        return Counter({kind: n for kind, n in self.struck.items() if kind not in ("kill", "partial")})

    def __str__(self) -> str:
        faults = self.faults
        return "\n".join(
            (
                f"worlds {self.worlds}, rounds {self.rounds}, turns {self.turns}, lives {self.lives}",
                f"I/O points passed {self.points.total()}: {_listed(self.points)}",
                f"faults {faults.total()}: {_listed(faults)}; had their effect all the same {self.struck['partial']}",
                f"kills {self.struck['kill']}, orderly restarts {self.did['restart']}",
                f"events: {_listed(self.did)}",
                f"longest healing: {self.longest_rounds} rounds, {self.longest_s:.0f} s of virtual time",
                f"worlds in which a law was broken: {self.broken.total()}"
                + (f": {_listed(self.broken)}" if self.broken else ""),
            )
        )


def _listed(counts: "Counter[str]") -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rig.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="play for so long")
    parser.add_argument("--worlds", type=int, default=0, help="play so many")
    parser.add_argument("--each", action="store_true", help="the small worlds instead, struck at each I/O point")
    parser.add_argument("--seed", type=int, default=0, help="the first world's seed; the others' follow")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder that failing worlds are written to")
    parser.add_argument("--no-shrink", action="store_true")
    given = parser.parse_args()
    figures, begun, told = Figures(), time.monotonic(), time.monotonic()
    over = begun + 60 * given.minutes if given.minutes else None
    shrunk: set[str] = set()
    for name, world in each() if given.each else random_worlds(given.seed):
        if (over is not None and time.monotonic() > over) or (given.worlds and figures.worlds >= given.worlds):
            break
        report = play(world)
        figures.add(report)
        if report.broken:
            law, what = report.broken[0]
            print(f"world {name}: {law}: {what}", flush=True)
            if not given.no_shrink and law not in shrunk:
                shrunk.add(law)
                keep(name, world, law, given.out)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"… {figures.worlds} worlds, {figures.broken.total()} broken", flush=True)
    took_s = time.monotonic() - begun
    print(f"{figures}\ntook {took_s:.0f} s, {figures.worlds / took_s:.1f} worlds a second")
    return 1 if figures.broken else 0


def random_worlds(seed: int) -> Iterator[tuple[str, World]]:
    while True:
        yield str(seed), random_world(seed)
        seed += 1


def each() -> Iterator[tuple[str, World]]:
    for name in SCENARIOS:
        for strike in STRIKES:
            for n, world in enumerate(struck_at_each(name, strike)):
                yield f"{name}-{strike}-{n}", world


def keep(name: str, world: World, law: str, folder: Path) -> None:
    """Write the smallest world that breaks this law to a file, from where it is played for ever."""
    small = shrink(world, law)
    law, what = play(small).broken[0]
    path = folder / f"{law.replace(' ', '-')}-{name}.json"
    path.write_text(written(small, law, what))
    print(f"  shrunk to {len(small['events'])} of {len(world['events'])} events: {path}\n  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
