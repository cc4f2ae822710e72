"""Keys that are made once, what Envoys refused and were asked about, and the certificates made here with their keys."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from reconciler.core.model import Ref
from reconciler.store.database import Database
from reconciler.store.logs import trim
from reconciler.store.rows import KeptCertificate
from reconciler.store.tables import CERTIFICATE_KEYS, CERTIFICATES, META, REFUSED, VERDICTS

MOST_VERDICTS, MOST_REFUSED = 2_000, 10_000


def once(database: Database, name: str, make: Callable[[], bytes]) -> bytes:
    """The value of this name, made by whoever asks first."""
    query = select(META.c.value).where(META.c.name == name)
    with database.reading(name) as connection:
        value = connection.execute(query).scalar_one_or_none()
    if value is None:
        with database.writing(name) as connection:
            value = connection.execute(query).scalar_one_or_none()
            if value is None:
                value = make()
                connection.execute(insert(META).values(name=name, value=value))
    return bytes(value)


def refuse(database: Database, row: Mapping[str, Any]) -> None:
    """A row of REFUSED, unless one of this version of content and of Envoy is there."""
    mine = (REFUSED.c.version == row["version"]) & (REFUSED.c.envoy == row["envoy"])
    with database.reading("refused") as connection:
        if connection.execute(select(REFUSED.c.version).where(mine)).one_or_none() is not None:
            return
    with database.writing("refused") as connection:
        connection.execute(delete(REFUSED).where(mine))
        connection.execute(insert(REFUSED).values(row))
        trim(connection, REFUSED, MOST_REFUSED)


def refused(database: Database, envoy: str | None) -> dict[str, str]:
    query = select(REFUSED.c.version, REFUSED.c.message).order_by(REFUSED.c.at.desc())
    query = query if envoy is None else query.where(REFUSED.c.envoy == envoy)
    with database.reading("refused") as connection:
        return {row.version: row.message for row in connection.execute(query)}


def put_verdict(database: Database, digest: str, body: str, at: float) -> None:
    if verdict(database, digest) == body:
        return
    with database.writing("verdicts") as connection:
        connection.execute(delete(VERDICTS).where(VERDICTS.c.digest == digest))
        connection.execute(insert(VERDICTS).values(digest=digest, body=body, at=at))
        trim(connection, VERDICTS, MOST_VERDICTS)


def verdict(database: Database, digest: str) -> str | None:
    with database.reading("verdicts") as connection:
        return connection.execute(select(VERDICTS.c.body).where(VERDICTS.c.digest == digest)).scalar_one_or_none()


def put_certificate(database: Database, ref: Ref, kept: KeptCertificate) -> None:
    if certificate(database, ref) == kept:
        return
    with database.writing("certificates") as connection:
        connection.execute(delete(CERTIFICATES).where(CERTIFICATES.c.ref == str(ref)))
        row = {"spec_digest": kept.spec_digest, "chain": kept.chain_pem, "not_after": kept.not_after}
        connection.execute(insert(CERTIFICATES).values(ref=str(ref), **row))
        connection.execute(insert(CERTIFICATE_KEYS).values(ref=str(ref), pem=kept.key_pem))


def certificate(database: Database, ref: Ref) -> KeptCertificate | None:
    query = select(CERTIFICATES, CERTIFICATE_KEYS.c.pem).join(CERTIFICATE_KEYS).where(CERTIFICATES.c.ref == str(ref))
    with database.reading("certificates") as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else KeptCertificate(row.spec_digest, bytes(row.pem), bytes(row.chain), row.not_after)
