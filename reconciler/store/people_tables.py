"""The tables of people: accounts, what they prove themselves with, and what they asked."""

from sqlalchemy import Column, Double, ForeignKey, Integer, LargeBinary

from reconciler.store.tables import Text, _log, _table, _text

# Who may ask as himself: of which tenant, and what he may do on each surface. `email` is written small.
ACCOUNTS = _table(
    "accounts",
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    _text("username"),
    _text("tenant"),
    _text("status"),
    Column("at", Double, nullable=False),
)
ROLES_GIVEN = _table(
    "roles",
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("surface", Text, primary_key=True),
    _text("role"),
)
# Apart from everything else, as the certificates' keys are.
PASSWORDS = _table(
    "passwords", Column("id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True), _text("hash")
)
# Who is logged in: `refresh` is the hash of the one refresh token that counts.
SESSIONS = _table(
    "sessions",
    Column("id", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    _text("refresh"),
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),
)
# What access and refresh tokens are signed with: the newest signs, the newest two are believed.
SIGNING_KEYS = _table(
    "signing_keys",
    Column("id", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("at", Double, nullable=False),
)
# Who has failed to log in, by the digest of an e-mail or by an address. May be lost.
LOCKOUTS = _table(
    "lockouts",
    Column("subject", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),
)

# Every call of every surface (audit.py says what is what). Nothing in it is secret.
AUDIT = _log(
    "audit",
    _text("id"),
    _text("kind"),
    _text("account"),
    _text("by"),
    _text("tenant"),
    _text("surface"),
    _text("action"),
    _text("resource_type"),
    _text("resource_id"),
    _text("before"),
    _text("after"),
    _text("address"),
    _text("agent"),
    Column("status", Integer, nullable=False),
    _text("request"),
)
