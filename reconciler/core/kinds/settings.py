"""Settings: how Convoy treats the whole fleet."""

from typing import Any, ClassVar

from pydantic import Field

from reconciler.core.kinds.spec import Seconds, Spec


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
