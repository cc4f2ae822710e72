"""How the tables came to be, step by numbered step; a step that was released is never changed again."""

from collections.abc import Callable

from sqlalchemy import Connection, inspect, text

from reconciler.core.declared import version_id

# Rows that are filled in one statement.
FILLED_AT_ONCE = 1_000


def _versions(connection: Connection) -> None:
    """The ids of versions, which no database can work out."""
    every = "SELECT number, ref, n, uid, accepted FROM history"
    rows = [(row.number, row.ref, row.n, version_id(row.uid, row.accepted)) for row in connection.execute(text(every))]
    fill = text("UPDATE history SET version = :version WHERE number = :number")
    for begin in range(0, len(rows), FILLED_AT_ONCE):
        some = rows[begin : begin + FILLED_AT_ONCE]
        connection.execute(fill, [{"number": number, "version": version} for number, _, _, version in some])
    known = {(ref, n): version for _, ref, n, version in rows}
    now = [
        # Of what changed longer ago than is kept only the commit is known.
        {"ref": row.ref, "version": known.get((row.ref, row.n)) or version_id(row.uid, row.revision)}
        for row in connection.execute(text("SELECT ref, n, uid, revision FROM resources"))
    ]
    for begin in range(0, len(now), FILLED_AT_ONCE):
        connection.execute(
            text("UPDATE resources SET version = :version WHERE ref = :ref"), now[begin : begin + FILLED_AT_ONCE]
        )


# Each step is plain SQL that SQLite and PostgreSQL both read, save what they name differently: {bytes} is the type of a
# byte string, {number} that of whole numbers that rise for ever; and functions, for what is not to be had by SQL.
STEPS: tuple[tuple[str | Callable[[Connection], None], ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value {bytes} NOT NULL)",
        """CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, epoch INTEGER NOT NULL,
           expires_at DOUBLE PRECISION NOT NULL, ttl_s DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE revisions (number {number} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, revision TEXT NOT NULL,
           status TEXT NOT NULL, problems TEXT NOT NULL)""",
        """CREATE TABLE plans (number {number} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, revision TEXT NOT NULL,
           body TEXT NOT NULL)""",
        "CREATE TABLE outcomes (number {number} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, body TEXT NOT NULL)",
        """CREATE TABLE events (number {number} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL,
           ref TEXT NOT NULL, message TEXT NOT NULL)""",
        "CREATE TABLE status (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
        "CREATE TABLE state (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
        """CREATE TABLE refused (version TEXT NOT NULL, envoy TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL,
           message TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, PRIMARY KEY (version, envoy))""",
        "CREATE TABLE blobs (digest TEXT PRIMARY KEY, body {bytes} NOT NULL)",
        "CREATE TABLE sets (digest TEXT PRIMARY KEY, body TEXT NOT NULL)",
        "CREATE TABLE goods (node TEXT PRIMARY KEY, version TEXT NOT NULL, sets TEXT NOT NULL)",
        "CREATE TABLE verdicts (digest TEXT PRIMARY KEY, body TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",
        """CREATE TABLE certificates (ref TEXT PRIMARY KEY, spec_digest TEXT NOT NULL, chain {bytes} NOT NULL,
           not_after DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE certificate_keys (ref TEXT PRIMARY KEY REFERENCES certificates (ref) ON DELETE CASCADE,
           pem {bytes} NOT NULL)""",
    ),
    (
        """CREATE TABLE orders (verb TEXT NOT NULL, subject TEXT NOT NULL, reason TEXT NOT NULL, author TEXT NOT NULL,
           at DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION, PRIMARY KEY (verb, subject))""",
        "CREATE TABLE guards (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    ),
    (
        """CREATE TABLE resources (ref TEXT PRIMARY KEY, uid TEXT NOT NULL, kind TEXT NOT NULL, tenant TEXT NOT NULL,
           name TEXT NOT NULL, digest TEXT NOT NULL, document TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL,
           blob TEXT NOT NULL, revision TEXT NOT NULL, author TEXT NOT NULL, n INTEGER NOT NULL,
           at DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE history (number {number} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, ref TEXT NOT NULL,
           uid TEXT NOT NULL, n INTEGER NOT NULL, revision TEXT NOT NULL, accepted TEXT NOT NULL, author TEXT NOT NULL,
           change TEXT NOT NULL, digest_before TEXT NOT NULL, digest TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL,
           document_before TEXT NOT NULL, bytes INTEGER NOT NULL)""",
        "CREATE INDEX history_of_one ON history (ref, n)",
        "CREATE INDEX history_of_revision ON history (accepted)",
    ),
    (
        "ALTER TABLE status ADD COLUMN changed {number} NOT NULL DEFAULT 0",
        "CREATE INDEX status_changed ON status (changed)",
    ),
    ("CREATE TABLE deliveries (node TEXT PRIMARY KEY, body TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",),
    (
        """CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, account TEXT NOT NULL, scopes TEXT NOT NULL,
           hash TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION)""",
    ),
    (
        """CREATE TABLE tellings (notification TEXT PRIMARY KEY, event {number} NOT NULL, outcome {number} NOT NULL,
           at DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE told (notification TEXT NOT NULL, subject TEXT NOT NULL, topic TEXT NOT NULL, state TEXT NOT NULL,
           at DOUBLE PRECISION NOT NULL, PRIMARY KEY (notification, subject, topic))""",
        """CREATE TABLE notices (id TEXT PRIMARY KEY, notification TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
           body TEXT NOT NULL, tries INTEGER NOT NULL, next_at DOUBLE PRECISION NOT NULL, dead INTEGER NOT NULL,
           error TEXT NOT NULL)""",
    ),
    (
        """CREATE TABLE proposals (number {number} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, id TEXT NOT NULL,
           token TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,
           revision TEXT NOT NULL, answer TEXT NOT NULL)""",
        "CREATE INDEX proposals_by_id ON proposals (id)",
        "CREATE INDEX proposals_by_key ON proposals (token, key)",
        "CREATE INDEX proposals_by_state ON proposals (state)",
        "ALTER TABLE tokens ADD COLUMN author TEXT NOT NULL DEFAULT ''",
    ),
    (
        """CREATE TABLE hooks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, repository TEXT NOT NULL,
           hash TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE hook_secrets (id TEXT PRIMARY KEY REFERENCES hooks (id) ON DELETE CASCADE, secret {bytes} NOT NULL)""",
        """CREATE TABLE hook_deliveries (id TEXT PRIMARY KEY REFERENCES hooks (id) ON DELETE CASCADE, counts TEXT NOT NULL,
           last TEXT NOT NULL)""",
    ),
    (
        "ALTER TABLE history ADD COLUMN version TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE history ADD COLUMN message TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE resources ADD COLUMN version TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE resources ADD COLUMN message TEXT NOT NULL DEFAULT ''",
        _versions,
        "CREATE INDEX history_of_version ON history (version)",
        "CREATE INDEX resources_by_version ON resources (version)",
    ),
    (
        """CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, username TEXT NOT NULL, tenant TEXT NOT NULL,
           status TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE roles (account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, surface TEXT NOT NULL,
           role TEXT NOT NULL, PRIMARY KEY (account, surface))""",
        "CREATE TABLE passwords (id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE, hash TEXT NOT NULL)",
        """CREATE TABLE sessions (id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
           refresh TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION NOT NULL)""",
        "CREATE INDEX sessions_by_account ON sessions (account)",
        "CREATE TABLE signing_keys (id TEXT PRIMARY KEY, key {bytes} NOT NULL, at DOUBLE PRECISION NOT NULL)",
        """CREATE TABLE lockouts (subject TEXT PRIMARY KEY, failures INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL,
           until DOUBLE PRECISION NOT NULL)""",
    ),
    (
        "ALTER TABLE proposals ADD COLUMN refs TEXT NOT NULL DEFAULT '[]'",
        "CREATE INDEX proposals_by_revision ON proposals (revision)",
        "ALTER TABLE resources ADD COLUMN created DOUBLE PRECISION NOT NULL DEFAULT 0",
        """UPDATE resources SET created = COALESCE(
           (SELECT MIN(history.at) FROM history WHERE history.ref = resources.ref AND history.uid = resources.uid), at)""",
        "CREATE INDEX resources_by_name ON resources (tenant, kind, name)",
        "CREATE INDEX resources_by_uid ON resources (tenant, kind, uid)",
    ),
    (
        "CREATE INDEX resources_by_created ON resources (tenant, kind, created, name)",
        "CREATE INDEX resources_by_at ON resources (tenant, kind, at, name)",
    ),
    (
        """CREATE TABLE attempts (number {number} PRIMARY KEY, notification TEXT NOT NULL, id TEXT NOT NULL,
           events TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, took_s DOUBLE PRECISION NOT NULL, tries INTEGER NOT NULL,
           outcome TEXT NOT NULL, error TEXT NOT NULL)""",
        "CREATE INDEX attempts_of_one ON attempts (notification, number)",
        "CREATE INDEX attempts_by_id ON attempts (id)",
    ),
    ("ALTER TABLE proposals ADD COLUMN mode TEXT NOT NULL DEFAULT 'commit'",),
    (
        """CREATE TABLE audit (number {number} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
           account TEXT NOT NULL, "by" TEXT NOT NULL, tenant TEXT NOT NULL, surface TEXT NOT NULL, action TEXT NOT NULL,
           resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
           address TEXT NOT NULL, agent TEXT NOT NULL, status INTEGER NOT NULL, request TEXT NOT NULL)""",
        "CREATE INDEX audit_by_kind ON audit (kind, number)",
        "CREATE INDEX audit_by_tenant ON audit (tenant, number)",
        "CREATE INDEX audit_by_account ON audit (account, number)",
    ),
    (
        """CREATE TABLE reports (uid TEXT PRIMARY KEY, status TEXT, restarts {number} NOT NULL,
           at DOUBLE PRECISION NOT NULL)""",
    ),
    ("ALTER TABLE revisions ADD COLUMN proposal {number} NOT NULL DEFAULT 0",),
    (
        """CREATE TABLE signing_secrets (id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
           secret {bytes} NOT NULL)""",
        """CREATE TABLE signatures (account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, signature TEXT NOT NULL,
           until DOUBLE PRECISION NOT NULL, PRIMARY KEY (account, signature))""",
        "CREATE INDEX signatures_by_until ON signatures (until)",
    ),
)
TYPES = {
    "sqlite": {"bytes": "BLOB", "number": "INTEGER"},
    "postgresql": {"bytes": "BYTEA", "number": "BIGINT"},
}


class NewerSchema(Exception):
    """A newer Convoy has changed these tables in ways this one does not know."""


def version(connection: Connection) -> int:
    """How many steps these tables have taken; 0 for an empty database."""
    if not inspect(connection).has_table("schema_version"):
        return 0
    return int(connection.execute(text("SELECT version FROM schema_version")).scalar_one())


def migrate(connection: Connection, now: int) -> None:
    """Take the steps after `now`, inside the caller's one writing transaction: all of them or none."""
    if now > len(STEPS):
        raise NewerSchema(
            f"its tables are at step {now}, and this Convoy knows {len(STEPS)}: use the newer Convoy, or restore a backup"
        )
    if now == len(STEPS):
        return
    if now == 0:
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO schema_version (version) VALUES (0)"))
    for step in STEPS[now:]:
        for statement in step:
            if callable(statement):
                statement(connection)
            else:
                connection.execute(text(statement.format(**TYPES[connection.dialect.name])))
    connection.execute(text("UPDATE schema_version SET version = :version"), {"version": len(STEPS)})
