"""What happened and what was told to us, in SQLite: facts outlive the process, wishes are in Git."""

from reconciler.store.database import StoreError
from reconciler.store.lease import Lease
from reconciler.store.rows import Event, KeptCertificate, Revision
from reconciler.store.store import Store

__all__ = ["Event", "KeptCertificate", "Lease", "Revision", "Store", "StoreError"]
