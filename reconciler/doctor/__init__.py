"""The doctor: what is wrong with this machine, store, source, hosts and proxies, and what to do; it changes nothing."""

from reconciler.doctor.ground import Ground
from reconciler.doctor.table import CHECKS, diagnose

__all__ = ["CHECKS", "Ground", "diagnose"]
