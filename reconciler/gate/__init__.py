"""The gate: a real Envoy checks what proxies are to be told before any proxy is told it."""

from reconciler.gate.gate import Gate, Kept, Verdict
from reconciler.gate.gates import Gates
from reconciler.gate.validate import envoy_version

__all__ = ["Gate", "Gates", "Kept", "Verdict", "envoy_version"]
