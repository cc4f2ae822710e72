"""Settings: how Convoy treats the whole fleet."""

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from reconciler.core.kinds.recipient import Recipient
from reconciler.core.kinds.sealed import Ciphertext
from reconciler.core.kinds.spec import Seconds, Spec, broken


class Settings(Spec):
    """How Convoy treats the whole fleet. At most one document; left out, every default holds."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Settings",
        "metadata": {"name": "fleet"},
        "spec": {"drainSeconds": 10, "startDeadlineSeconds": 60},
    }

    validate_with_envoy: bool = True
    """Ask a real Envoy (`envoy --mode validate`) before any proxy is told something new."""
    drain_s: float = Field(2.0, ge=0, le=3600, alias="drainSeconds")
    """How long an instance goes on running after the last proxy has let go of it."""
    start_deadline_s: Seconds = Field(60.0, alias="startDeadlineSeconds")
    """How long a new instance may take to become healthy before it is reported as failed."""
    recipients: tuple[Recipient, ...] = Field((), max_length=100, repr=False)
    """Whom secrets are sealed for, as `convoy secret recipient` prints them: every Convoy that runs this fleet, and people."""
    hash_key: Ciphertext | None = None
    """The key that hashes of secrets are made with, sealed for all recipients, so that the same secret has the same hash
    whoever seals it; `convoy secret hash-key` makes it."""

    @model_validator(mode="after")
    def _each_recipient_once(self) -> Self:
        for i, one in enumerate(self.recipients):
            if one in self.recipients[:i]:
                raise broken("this recipient is there twice", "remove one", "recipients", i)
        return self
