"""The embedded default: local processes, each under a small shim that outlives Convoy."""

from reconciler.drivers.process.driver import Process

__all__ = ["Process"]
