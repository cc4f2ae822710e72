"""The tables as they are today; how they came to be is in migrations.py, and a test holds the two together."""

from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Double, ForeignKey, Integer, LargeBinary, MetaData, Table
from sqlalchemy import Text as AnyText
from sqlalchemy.types import TypeDecorator

METADATA = MetaData()


class Text(TypeDecorator[str]):
    """Text as every database takes it: what programs, hosts and Envoys say goes in here, and it may hold anything."""

    impl = AnyText
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None or (value.isascii() and "\0" not in value) else readable(value)


def readable(text: str) -> str:
    """PostgreSQL knows no NUL in text, and no encoding knows half a character."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


def table(name: str, *columns: "Column[Any]") -> Table:
    return Table(name, METADATA, *columns)


# Made once, then never changed: who this installation is, and its keys.
META = table("meta", Column("name", Text, primary_key=True), Column("value", LargeBinary, nullable=False))
LEASES = table(
    "leases",
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("ttl_s", Double, nullable=False),
)


def log(name: str, *columns: "Column[Any]") -> Table:
    """Append-only and capped. Numbers are given in the writing transaction, so that they become visible in their order."""
    number = Column("number", BigInteger, primary_key=True, autoincrement=False)
    return table(name, number, Column("at", Double, nullable=False), *columns)


def text(name: str) -> "Column[str]":
    return Column(name, Text, nullable=False)


# `proposal`: the number of the last of PROPOSALS whose commit this one has come from, as far as that is known.
REVISIONS = log(
    "revisions",
    text("revision"),
    text("status"),
    text("problems"),
    Column("proposal", BigInteger, nullable=False, server_default="0"),
)
PLANS = log("plans", text("revision"), text("body"))
OUTCOMES = log("outcomes", text("body"))
EVENTS = log("events", text("kind"), text("ref"), text("message"))

# What the last accepted revision declares, and the changes that led there. A change keeps the document that it put an end to:
# what it led to stands in the next change of that resource, or in `resources`.
RESOURCES = table(
    "resources",
    Column("ref", Text, primary_key=True),
    text("uid"),
    text("kind"),
    text("tenant"),
    text("name"),
    text("digest"),
    text("document"),
    text("file"),
    Column("line", Integer, nullable=False),
    text("blob"),
    text("revision"),
    text("author"),
    Column("n", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("version", Text, nullable=False, server_default=""),
    Column("message", Text, nullable=False, server_default=""),
    # When it was first declared, of all that is known; `at` is when it was changed last.
    Column("created", Double, nullable=False, server_default="0"),
)
HISTORY = log(
    "history",
    text("ref"),
    text("uid"),
    Column("n", Integer, nullable=False),
    text("revision"),
    text("accepted"),
    text("author"),
    text("change"),
    text("digest_before"),
    text("digest"),
    text("file"),
    Column("line", Integer, nullable=False),
    text("document_before"),
    Column("bytes", Integer, nullable=False),
    # The id of what the resource is declared as from then on (core/declared.py), and what the commit said.
    Column("version", Text, nullable=False, server_default=""),
    Column("message", Text, nullable=False, server_default=""),
)

# Name ⇒ JSON: the status of every resource, and where the fleet as a whole stands.
# Whoever follows the statuses reads those numbered above the last that he has read; `CHANGES` in STATE holds the last number
# that was given, so that none is given twice.
STATUS = table(
    "status",
    Column("name", Text, primary_key=True),
    text("body"),
    Column("changed", BigInteger, nullable=False, server_default="0"),
)
CHANGES = "changes"
STATE = table("state", Column("name", Text, primary_key=True), text("body"))

# What people told Convoy beside Git, by `convoy confirm` and the like or by a commit's trailers.
ORDERS = table(
    "orders",
    Column("verb", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    text("reason"),
    text("author"),
    Column("at", Double, nullable=False),
    Column("until", Double),
)
# What the guards have to remember: name ⇒ JSON. Under these names, whose machine each host is: that is found out anew after a
# backup was restored, perhaps on another machine.
HOME = "home/"
GUARDS = table("guards", Column("name", Text, primary_key=True), text("body"))

# What Envoys have refused, and what each proxy last ran without refusing anything of it.
REFUSED = table(
    "refused",
    Column("version", Text, primary_key=True),
    Column("envoy", Text, primary_key=True),
    text("type"),
    text("name"),
    text("message"),
    Column("at", Double, nullable=False),
)
BLOBS = table("blobs", Column("digest", Text, primary_key=True), Column("body", LargeBinary, nullable=False))
SETS = table("sets", Column("digest", Text, primary_key=True), text("body"))
GOODS = table("goods", Column("node", Text, primary_key=True), text("version"), text("sets"))
# Where each proxy stands with what it is told; `body` names sets, as `sets` of a good does.
DELIVERIES = table("deliveries", Column("node", Text, primary_key=True), text("body"), Column("at", Double, nullable=False))
VERDICTS = table("verdicts", Column("digest", Text, primary_key=True), text("body"), Column("at", Double, nullable=False))

CERTIFICATES = table(
    "certificates",
    Column("ref", Text, primary_key=True),
    text("spec_digest"),
    Column("chain", LargeBinary, nullable=False),
    Column("not_after", Double, nullable=False),
)
# Apart from everything else, so that nothing that lists, logs or shows another table can hold a key.
CERTIFICATE_KEYS = table(
    "certificate_keys",
    Column("ref", Text, ForeignKey("certificates.ref", ondelete="CASCADE"), primary_key=True),
    Column("pem", LargeBinary, nullable=False),
)

# What programs and people prove themselves with to the API: never the token, a hash of it. `account` is whose it is, "" for one
# that is nobody's; `scopes` what it may do, words with spaces between them.
TOKENS = table(
    "tokens",
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    text("account"),
    text("scopes"),
    text("hash"),
    Column("at", Double, nullable=False),
    Column("until", Double),
    # As whom it commits: "Name <mail>", or "" for its own name.
    Column("author", Text, nullable=False, server_default=""),
)

# Who may wake us from outside. `hash` is of the part of a hook's address that nobody guesses; `repository` what the forge calls
# the repository, "" where that is the URL that is followed.
HOOKS = table(
    "hooks",
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    text("provider"),
    text("repository"),
    text("hash"),
    Column("at", Double, nullable=False),
)
# Apart from everything else, as the certificates' keys are.
HOOK_SECRETS = table(
    "hook_secrets",
    Column("id", Text, ForeignKey("hooks.id", ondelete="CASCADE"), primary_key=True),
    Column("secret", LargeBinary, nullable=False),
)
# What of each has come: how often, and the last few. May be lost.
HOOK_DELIVERIES = table(
    "hook_deliveries",
    Column("id", Text, ForeignKey("hooks.id", ondelete="CASCADE"), primary_key=True),
    text("counts"),
    text("last"),
)

# Who is told outward: up to which event and outcome each Notification has read, and when it last had something to tell; what
# it told last of each subject; and the messages that are under way, or were given up (`dead`).
TELLINGS = table(
    "tellings",
    Column("notification", Text, primary_key=True),
    Column("event", BigInteger, nullable=False),
    Column("outcome", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)
TOLD = table(
    "told",
    Column("notification", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    text("state"),
    Column("at", Double, nullable=False),
)
NOTICES = table(
    "notices",
    Column("id", Text, primary_key=True),
    text("notification"),
    Column("at", Double, nullable=False),
    text("body"),
    Column("tries", Integer, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("dead", Integer, nullable=False),
    text("error"),
)

# Each try to carry a message to whom a Notification names: which message and which events, when, how long it took, what became
# of it, and why not.
ATTEMPTS = table(
    "attempts",
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    text("notification"),
    text("id"),
    text("events"),
    Column("at", Double, nullable=False),
    Column("took_s", Double, nullable=False),
    Column("tries", Integer, nullable=False),
    text("outcome"),
    text("error"),
)

# What was asked to be committed, in the order in which it came. A row is written once, and its end (`state`, `revision` and
# `answer`) once more. `token` is the id of the one that asked, `key` its Idempotency-Key, `digest` that of what it asked for,
# `refs` a JSON list of what it is about, `mode` whether it is to be a commit or a pull request. Commits are made in
# the order of their numbers.
PROPOSALS = log(
    "proposals",
    text("id"),
    text("token"),
    text("key"),
    text("digest"),
    text("body"),
    text("state"),
    text("revision"),
    text("answer"),
    Column("refs", Text, nullable=False, server_default="[]"),
    Column("mode", Text, nullable=False, server_default="commit"),
)

# What registered things say of themselves: by the uid of what is declared, what state it says it is in (NULL for what says no
# more than that it is there), how often it was started again, and when it was heard last.
REPORTS = table(
    "reports",
    Column("uid", Text, primary_key=True),
    Column("status", Text),
    Column("restarts", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)
