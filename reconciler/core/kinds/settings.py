"""Settings: how Convoy treats the whole fleet."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.kinds.document import Drift
from reconciler.core.kinds.pulls import PullRequests
from reconciler.core.kinds.recipient import Recipient
from reconciler.core.kinds.rule import HealthRule
from reconciler.core.kinds.sealed import Ciphertext
from reconciler.core.kinds.spec import Part, Seconds, Selecting, Spec, broken
from reconciler.core.kinds.window import Window


class DeleteBudget(Part):
    """How many workloads one change may delete because they are no longer declared. Replacements do not count."""

    count: int = Field(20, ge=0, le=1_000_000)
    """At most so many, whatever the fleet's size."""
    share: float = Field(0.3, ge=0, le=1)
    """At most this share of what ran before: 0.3 is 30 %."""
    always: int = Field(5, ge=0, le=1_000_000)
    """So many are no accident in a fleet of any size: `share` does not go below it, `count` does."""

    def allows(self, before: int) -> int:
        """How many deletes, where so many workloads ran before."""
        return min(self.count, max(self.always, int(self.share * before)))


class Retention(Part):
    """How long what Envoys served is kept (docs/metrics.md), by how finely; and how much of it, which comes first."""

    minute_hours: int = Field(24, ge=1, le=744)
    """Readings of each minute."""
    five_minute_days: int = Field(7, ge=1, le=90)
    """Of each five minutes."""
    hour_days: int = Field(60, ge=2, le=800)
    """Of each hour."""
    day_days: int = Field(800, ge=7, le=4000)
    """Of each day."""
    rows: int = Field(2_000_000, ge=10_000, le=100_000_000)
    """At most about so many of all of them together, the newest; a million takes about 200 MB."""

    def keep_s(self) -> dict[int, int]:
        """Resolution ⇒ how long it is kept, both in seconds."""
        return {
            60: 3600 * self.minute_hours,
            300: 86400 * self.five_minute_days,
            3600: 86400 * self.hour_days,
            86400: 86400 * self.day_days,
        }


class Settings(Spec):
    """How Convoy treats the whole fleet. At most one document; left out, every default holds."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Settings",
        "metadata": {"name": "fleet"},
        "spec": {"drainSeconds": 10, "startDeadlineSeconds": 60, "deleteBudget": {"count": 10, "share": 0.2}},
    }

    validate_with_envoy: bool = True
    """Ask a real Envoy (`envoy --mode validate`) before any proxy is told something new."""
    drain_s: float = Field(2.0, ge=0, le=3600, alias="drainSeconds")
    """How long an instance goes on running after the last proxy has let go of it."""
    start_deadline_s: Seconds = Field(60.0, alias="startDeadlineSeconds")
    """How long a new instance may take to become healthy before it is reported as failed."""
    delete_budget: DeleteBudget = Field(default_factory=DeleteBudget)
    """What goes beyond it is held as a lot, until the documents come back or a person confirms it."""
    drift: Drift = "correct"
    """When what runs differs though no commit asked for it: correct it, report it, or ignore it. `metadata.drift` of a
    document says otherwise for itself."""
    sync: Literal["automatic", "manual"] = "automatic"
    """`manual`: what a new revision changes is planned and shown, and made once a person says `convoy sync`. What runs is put
    right all the same."""
    windows: tuple[Window, ...] = Field((), max_length=100)
    """When changes that commits bring may be made; left out, at any time. What runs is put right at any time."""
    recipients: tuple[Recipient, ...] = Field((), max_length=100, repr=False)
    """Whom secrets are sealed for, as `convoy secret recipient` prints them: every Convoy that runs this fleet, and people."""
    hash_key: Ciphertext | None = None
    """The key that hashes of secrets are made with, sealed for all recipients, so that the same secret has the same hash
    whoever seals it; `convoy secret hash-key` makes it."""

    pull_requests: PullRequests | None = None
    """Changes that are asked for over the API may become pull requests; left out, none does."""
    retention: Retention = Field(default_factory=Retention)
    """How long metrics are kept."""
    health: tuple[HealthRule, ...] = Field((), max_length=50)
    """Rules of your own about how things fare, on top of what Convoy finds itself (docs/health.md)."""

    @model_validator(mode="after")
    def _each_recipient_once(self) -> Self:
        for i, one in enumerate(self.recipients):
            if one in self.recipients[:i]:
                raise broken("this recipient is there twice", "remove one", "recipients", i)
        return self

    def selecting(self) -> Iterator[Selecting]:
        for i, window in enumerate(self.windows):
            for j, text in enumerate(window.only):
                yield Selecting(("windows", i, "only", j), text)
