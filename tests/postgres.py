"""A PostgreSQL of the tests' own: started from the machine's packages as nobody special, and gone when they end."""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

# Debian keeps the server's programs out of PATH: https://wiki.debian.org/PostgreSql.
PROGRAMS = Path("/usr/lib/postgresql")
# However busy the machine is.
STARTED_S, MADE_S, ENDED_S = 240.0, 240.0, 60.0
# PostgreSQL refuses to run as root.
UNPRIVILEGED = "nobody"
# Ends the server when nobody holds the other end of its standard input any more: also when the tests were killed.
KEEPER = '"$@" & server=$!; cat >/dev/null; kill -INT $server 2>/dev/null; wait $server'
MISSING = "no PostgreSQL server is here: apt-get install postgresql"


def programs() -> Path | None:
    """The directory with `initdb` and `postgres`, of the newest version."""
    versions = [path for path in PROGRAMS.glob("*/bin") if (path / "initdb").exists() and (path / "postgres").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).parent if found and shutil.which("postgres") else None


class Server:
    """One server on a Unix socket in a temporary directory. It can be stopped and started again over the same data."""

    def __init__(self, bin: Path) -> None:
        self._bin = bin
        self._numbers = itertools.count(1)
        self._keeper: subprocess.Popen[bytes] | None = None
        # Short, since a socket is below it, and not below pytest's own directory, which only its owner may enter.
        self.directory = Path(tempfile.mkdtemp(prefix="convoy-pg-"))
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:
            who = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.directory, who.pw_uid, who.pw_gid)
            self._user = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        self._environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "HOME": str(self.directory)}
        self._run("initdb", "--pgdata", "data", "--username", "convoy", "--auth", "trust", "--encoding", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=MADE_S,
            **self._user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def start(self) -> None:
        settings = (
            *("listen_addresses=", f"unix_socket_directories={self.directory}", "fsync=off", "full_page_writes=off"),
            # In its directory, and not where a killed one leaves it for ever.
            "dynamic_shared_memory_type=mmap",
        )
        options = [word for setting in settings for word in ("-c", setting)]
        with (self.directory / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                ["/bin/sh", "-c", KEEPER, "postgres", self._bin / "postgres", "-D", "data", *options],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._user,  # type: ignore[call-overload]
            )
        end = time.monotonic() + STARTED_S
        while True:
            try:
                self.execute("SELECT 1")
                return
            except OperationalError:
                said = (self.directory / "log").read_text(errors="replace")[-2000:]
                assert self._keeper.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.05)

    def stop(self) -> None:
        """Every connection is cut."""
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            try:
                self._keeper.wait(ENDED_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._keeper.pid, signal.SIGKILL)
                self._keeper.wait()
        self._keeper = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        url = URL.create("postgresql+psycopg", "convoy", host=None, database=database, query={"host": str(self.directory)})
        return url.render_as_string(hide_password=False)

    def new(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement and commit it; its rows, if it has any."""
        return execute(self.url(database), statement)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement on a connection of its own and commit it; its rows, if it has any. For SQLite as well."""
    engine = create_engine(url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


@dataclass(frozen=True)
class Place:
    """Where a store is kept, and the way to it that leads past Convoy's code."""

    url: str

    @property
    def backend(self) -> str:
        return self.url.partition(":")[0].partition("+")[0]

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return execute(self.url, query)

    def counted(self, table: str) -> int:
        return int(str(self.rows(f"SELECT count(*) FROM {table}")[0][0]))

    def tables(self) -> list[str]:
        catalog = {
            "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
            "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        }
        return sorted(str(name) for (name,) in self.rows(catalog[self.backend]))


@contextlib.contextmanager
def started(bin: Path) -> Iterator[Server]:
    server = Server(bin)
    try:
        server.start()
        yield server
    finally:
        server.close()
