"""What a client refused of one type, and how the guilty are found when it names none: by halves, with the rest in force."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.xds.entries import Entries, Entry


@dataclass(slots=True)
class Blame:
    """Contents that must not be sent (again) for now. `groups` are the suspects: the first is tried, the others wait."""

    refused: dict[tuple[str, str], Entry] = field(default_factory=dict)
    groups: list[tuple[Entry, ...]] = field(default_factory=list)
    # When the client last refused something (monotonic seconds), and the response with which the suspicion began.
    at: float = 0.0
    cause: str = ""
    # Another client tries the same suspects: what it finds spares this one the trying.
    spared: bool = False

    def __bool__(self) -> bool:
        return bool(self.refused or self.groups)

    def withholds(self, entry: Entry) -> bool:
        """Whether this content must not be sent now."""
        if self.is_refused(entry):
            return True
        waiting = self.groups if self.spared else self.groups[1:]
        return any(_in(entry, group) for group in waiting)

    def is_refused(self, entry: Entry) -> bool:
        return (entry.name, entry.version) in self.refused

    def refuse(self, entries: Iterable[Entry]) -> None:
        """The client refused exactly these."""
        for entry in entries:
            self.refused[(entry.name, entry.version)] = entry
            self._drop(entry)

    def suspect(self, entries: tuple[Entry, ...], cause: str) -> None:
        """The client refused a response that brought these, and said of none that it was this one."""
        for entry in entries:
            self._drop(entry)
        half = len(entries) // 2
        self.groups[:0] = [entries[:half], entries[half:]]
        self.cause = self.cause or cause

    def clear(self, entries: Iterable[Entry]) -> None:
        """The client accepted these."""
        for entry in entries:
            self._drop(entry)

    def prune(self, goal: Entries) -> None:
        """Forget what is not wanted any more: other content of the same name is new content."""
        self.refused = {key: entry for key, entry in self.refused.items() if _in_goal(entry, goal)}
        if any(not _in_goal(entry, goal) for group in self.groups for entry in group):
            # What was suspected is not all there any more, so the rest deserves to be tried together.
            self.groups, self.cause, self.spared = [], "", False

    def _drop(self, entry: Entry) -> None:
        if self.groups:
            left = (
                tuple(one for one in group if one.name != entry.name or one.version != entry.version) for group in self.groups
            )
            self.groups = [group for group in left if group]
            if not self.groups:
                self.cause, self.spared = "", False


def _in(entry: Entry, group: tuple[Entry, ...]) -> bool:
    return any(one.name == entry.name and one.version == entry.version for one in group)


def _in_goal(entry: Entry, goal: Entries) -> bool:
    wanted = goal.get(entry.name)
    return wanted is not None and wanted.version == entry.version
