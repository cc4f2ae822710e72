"""What a person may do where a wait takes too long. None of them is cut short: what they protect would be lost."""

from dataclasses import dataclass

UNREADY = "`convoy explain {ref}` shows what its replacement lacks: a newer commit ends the wait, another or the old content"
REACHED = "start or reconnect the proxy, or delete its document: `convoy explain Proxy/{node}`"
ENDING = "`convoy explain` shows why it does not end: `stop` in its document says how it is asked to"
SILENT = "host {host} does not answer: `convoy doctor` says what is wrong with it"
UNSERVED = "see `convoy explain {ref}` for what it lacks; a newer commit ends the wait: one that mends it, or leads elsewhere"


@dataclass(frozen=True, slots=True)
class Wait:
    """In words why, and what a person may do about it when it takes too long."""

    why: str
    overdue: str
