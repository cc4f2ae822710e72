"""The checks in one table, and how they are run: each bounded in time, and each failing alone."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.core.show_doctor import Diagnosis, Finding
from reconciler.doctor import hooks, keeping, machine, running, wishes
from reconciler.doctor.ground import Ground, Nothing

# What none of them needs: a repository that does not answer is given up after 8 s, and an Envoy that does not say its version
# after 30.
DEADLINE_S = 45.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    name: str
    looks_at: str
    run: Callable[[Ground], Iterator[Finding]]


CHECKS: Sequence[Check] = (
    Check("python", "the Python that runs Convoy", machine.python),
    Check("packages", "the packages it needs", machine.packages),
    Check("envoy", "the Envoys of this machine", machine.envoy),
    Check("git", "git, ssh, ssh-keygen and gpg", machine.git),
    Check("clock", "this machine's clock against what was recorded", machine.clock),
    Check("open files", "how many files a process may open", machine.files),
    Check("service", "what is killed when the service is stopped", machine.service),
    Check("state", "the state directory", keeping.state_directory),
    Check("disk", "room for bytes and files", keeping.room),
    Check("keys", "who can read what is secret", keeping.keys),
    Check("sockets", "the directory of sockets and the length of its path", keeping.sockets),
    Check("at work", "which Convoy works here, and its lease", keeping.at_work),
    Check("store", "whether the store opens and is whole", keeping.store),
    Check("fleet", "where the fleet stands", keeping.standing),
    Check("source", "the repository or folder that is followed", wishes.source),
    Check("signatures", "whose commits count", wishes.signatures),
    Check("documents", "whether they are valid", wishes.documents),
    Check("certificates", "when they expire", wishes.certificates),
    Check("identity", "the key for sealed secrets", wishes.identity),
    Check("hosts", "whether they can be seen", running.hosts),
    Check("leftovers", "what a kill has left half done", running.leftovers),
    Check("marks", "what bears another installation's mark", running.foreign),
    Check("processes", "instances and processes that lost each other", running.shims),
    Check("ports", "fixed ports that somebody else has", running.ports),
    Check("proxies", "whether they run what they were told", running.proxies),
    Check("webhooks", "whether what forges send arrives, and counts", hooks.webhooks),
    Check("notifications", "whether messages arrive", running.notifications),
)


def diagnose(ground: Ground, checks: Sequence[Check] = CHECKS, deadline_s: float = DEADLINE_S) -> tuple[Diagnosis, ...]:
    """All checks at once, in the order of the table; one that takes longer is given up and says so."""
    found: list[list[Finding]] = [[] for _ in checks]
    ended = [threading.Event() for _ in checks]

    def one(number: int) -> None:
        # Put in its place as a whole: what is given up half way has found nothing.
        found[number] = _run(checks[number], ground)
        ended[number].set()

    # Daemons: one that hangs in the system must not keep this command from ending.
    for number in range(len(checks)):
        threading.Thread(target=one, args=(number,), name=f"check-{checks[number].name}", daemon=True).start()
    until = ground.seams.monotonic() + deadline_s
    result = []
    for number, check in enumerate(checks):
        if ended[number].wait(max(0.0, until - ground.seams.monotonic())):
            result.append(Diagnosis(check.name, check.looks_at, tuple(found[number])))
        else:
            late = Finding(
                "bad", f"not looked at to the end within {deadline_s:g} s", "try again; is a disk or a network away?"
            )
            result.append(Diagnosis(check.name, check.looks_at, (late,)))
    return tuple(result)


def _run(check: Check, ground: Ground) -> list[Finding]:
    """What it finds; where its subject is missing, or it fails itself, it says that."""
    found: list[Finding] = []
    try:
        for finding in check.run(ground):
            found.append(finding)  # noqa: PERF402 - what was found before it failed counts
    except Nothing as nothing:
        found.append(Finding("ok", str(nothing)))
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        found.append(Finding("bad", f"this cannot be looked at: {error.strerror or error}{place}", "see who may read it"))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks must still be read
        found.append(
            Finding("bad", f"this check failed itself: {type(error).__name__}: {error}", "report it, with these words")
        )
    troubles = [finding for finding in found if finding.verdict != "ok"]
    # A good word beside a trouble would only hide it.
    return troubles or found[:1] or [Finding("ok", "")]
