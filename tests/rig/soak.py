"""Plays random worlds for as long as it is told to, shrinks what fails, and prints figures: `python -m tests.rig.soak`."""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .play import Report, play
from .worlds import law_of, random_world, shrink, written


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

    def __str__(self) -> str:
        faults = Counter({kind: n for kind, n in self.struck.items() if kind not in ("kill", "partial")})
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
    parser.add_argument("--seed", type=int, default=0, help="the first world's seed; the others' follow")
    parser.add_argument("--out", type=Path, default=Path("."), help="the folder that failing worlds are written to")
    parser.add_argument("--no-shrink", action="store_true")
    given = parser.parse_args()
    over = time.monotonic() + 60 * given.minutes if given.minutes else None
    figures, seed, begun, told = Figures(), given.seed, time.monotonic(), time.monotonic()
    shrunk: set[str] = set()
    while (over is None or time.monotonic() < over) and not (given.worlds and figures.worlds >= given.worlds):
        world = random_world(seed)
        report = play(world)
        figures.add(report)
        if report.broken:
            law, what = report.broken[0]
            print(f"world {seed}: {law}: {what}", flush=True)
            if not given.no_shrink and law not in shrunk:
                shrunk.add(law)
                small = shrink(world, law)
                law, what = play(small).broken[0]
                path = given.out / f"{law.replace(' ', '-')}-{seed}.json"
                path.write_text(written(small, law, what))
                print(f"  shrunk to {len(small['events'])} of {len(world['events'])} events: {path}\n  {what}", flush=True)
        seed += 1
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"… {figures.worlds} worlds, {figures.broken.total()} broken", flush=True)
    print(
        f"{figures}\ntook {time.monotonic() - begun:.0f} s, {figures.worlds / (time.monotonic() - begun):.1f} worlds a second"
    )
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main())
