"""What happened and what was told to us, in SQLite or PostgreSQL: facts outlive the process, wishes are in Git."""

from reconciler.store.accounts import ROLES, AccountError, Accounts, KeptAccount
from reconciler.store.attempts import Attempt
from reconciler.store.audit import Call, Wanted
from reconciler.store.backup import Backup, BackupError
from reconciler.store.database import Damaged, Lease, LeaseLost, NoStore, StoreError, default_url
from reconciler.store.examine import Examined, examine
from reconciler.store.following import Following, News
from reconciler.store.happened import Happened
from reconciler.store.hooks import PROVIDERS, Heard, Hook, HookError, Kept
from reconciler.store.lease import LEASE
from reconciler.store.pages import SORTS, Has, Key, Page, Pages, Row, Which, Window
from reconciler.store.proposals import Full, KeyReused, Mode, Proposal, Proposals
from reconciler.store.readings import Readings
from reconciler.store.reports import Report, Reports
from reconciler.store.rows import Event, KeptCertificate, Revision
from reconciler.store.sessions import Sessions, SigningKey
from reconciler.store.signatures import Signatures
from reconciler.store.store import Store
from reconciler.store.tables import HOME
from reconciler.store.tokens import SCOPES, Token, TokenError

__all__ = [
    "HOME",
    "LEASE",
    "PROVIDERS",
    "ROLES",
    "SCOPES",
    "SORTS",
    "AccountError",
    "Accounts",
    "Attempt",
    "Backup",
    "BackupError",
    "Call",
    "Damaged",
    "Event",
    "Examined",
    "Following",
    "Full",
    "Happened",
    "Has",
    "Heard",
    "Hook",
    "HookError",
    "Kept",
    "KeptAccount",
    "KeptCertificate",
    "Key",
    "KeyReused",
    "Lease",
    "LeaseLost",
    "Mode",
    "News",
    "NoStore",
    "Page",
    "Pages",
    "Proposal",
    "Proposals",
    "Readings",
    "Report",
    "Reports",
    "Revision",
    "Row",
    "Sessions",
    "Signatures",
    "SigningKey",
    "Store",
    "StoreError",
    "Token",
    "TokenError",
    "Wanted",
    "Which",
    "Window",
    "default_url",
    "examine",
]
