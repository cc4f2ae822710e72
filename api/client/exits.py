"""How `envoyctl` ends: a number for each kind of end, for scripts, and the failures that lead to them."""

from collections.abc import Mapping
from typing import Any

from reconciler.usage import INTERRUPTED

DONE, REFUSED, USAGE, UNKNOWN, ABSENT, MOVED, INVALID, AWAY, LATE = range(9)
MEANINGS: Mapping[int, str] = {
    DONE: "done",
    REFUSED: "refused, or it has failed: the message says why",
    USAGE: "the command line, or a file it names, cannot be understood",
    UNKNOWN: "not logged in, or not allowed to",
    ABSENT: "there is no such thing",
    MOVED: "something else is in the way: it exists already, or has changed since it was read",
    INVALID: "the server does not take what was sent; the message says which field",
    AWAY: "the server cannot be reached, or cannot do it now: try again",
    LATE: "committed, and not in force in time",
    INTERRUPTED: "interrupted by Ctrl-C",
}
# An answer's status ⇒ how the command ends. Those from 500 on are AWAY, others REFUSED.
OF_STATUS: Mapping[int, int] = {
    400: INVALID,
    401: UNKNOWN,
    403: UNKNOWN,
    404: ABSENT,
    409: MOVED,
    412: MOVED,
    413: INVALID,
    415: INVALID,
    422: INVALID,
    408: AWAY,
    429: AWAY,
}


class ClientError(Exception):
    """It could not be done: `exit_code` is the kind of end, the message says what, why and how to mend it."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code, self.message = exit_code, message

    @property
    def value(self) -> dict[str, Any]:
        """For `--output json`."""
        return {"message": self.message, "exit_code": self.exit_code}


class Refusal(ClientError):
    """The server's own no: its error (section 2.5 of the API), made harmless."""

    def __init__(self, status: int, message: str, said: Mapping[str, Any], after_s: int | None = None) -> None:
        super().__init__(OF_STATUS.get(status, AWAY if status >= 500 else REFUSED), message)
        self.status, self.said, self.after_s = status, said, after_s

    @property
    def value(self) -> dict[str, Any]:
        return {**self.said, **super().value, "status": self.status}
