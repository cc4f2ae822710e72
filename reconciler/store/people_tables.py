"""The tables of people: accounts, what they prove themselves with, and what they asked."""

from sqlalchemy import Column, Double, ForeignKey, Integer, LargeBinary

from reconciler.store.tables import Text, log, table, text

# Who may ask as himself: of which tenant, and what he may do on each surface. `email` is written small.
ACCOUNTS = table(
    "accounts",
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    text("username"),
    text("tenant"),
    text("status"),
    Column("at", Double, nullable=False),
)
ROLES_GIVEN = table(
    "roles",
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("surface", Text, primary_key=True),
    text("role"),
)
# Apart from everything else, as the certificates' keys are.
PASSWORDS = table(
    "passwords", Column("id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True), text("hash")
)
# Who is logged in: `refresh` is the hash of the one refresh token that counts.
SESSIONS = table(
    "sessions",
    Column("id", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    text("refresh"),
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),
)
# What access and refresh tokens are signed with: the newest signs, the newest two are believed.
SIGNING_KEYS = table(
    "signing_keys",
    Column("id", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("at", Double, nullable=False),
)
# What who signs his requests signs them with; apart from everything else, too.
SIGNING_SECRETS = table(
    "signing_secrets",
    Column("id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("secret", LargeBinary, nullable=False),
)
# What has been signed, for as long as it could be shown again. May be lost: a signature is good for minutes.
SIGNATURES = table(
    "signatures",
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("signature", Text, primary_key=True),
    Column("until", Double, nullable=False),
)
# Who has failed to log in, by the digest of an e-mail or by an address. May be lost.
LOCKOUTS = table(
    "lockouts",
    Column("subject", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),
)

# Every call of every surface (audit.py says what is what). Nothing in it is secret.
AUDIT = log(
    "audit",
    text("id"),
    text("kind"),
    text("account"),
    text("by"),
    text("tenant"),
    text("surface"),
    text("action"),
    text("resource_type"),
    text("resource_id"),
    text("before"),
    text("after"),
    text("address"),
    text("agent"),
    Column("status", Integer, nullable=False),
    text("request"),
)
