"""Live traffic: requests to every proxy, all the time, each answer counted."""

import http.client
import select
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# Between two requests of one client: about 60 requests a second at each proxy, which two cores carry beside the fleet.
PAUSE_S = 0.015
# What nobody answers by then is lost. An Envoy gives up an application that does not answer long before, and says so.
PATIENCE_S = 60.0
# From fewer answers nothing can be told; a busy machine is given time for so many.
ENOUGH = 10


@dataclass
class Traffic:
    """One client per port, on a connection it keeps, as browsers and services do."""

    ports: Iterable[int]
    # Who answered, in the order in which it was heard. Threads append to it: what is counted while they do is what was there.
    heard: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Traffic":
        for port in self.ports:
            thread = threading.Thread(target=self._ask, args=(port,), name=f"traffic-{port}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, kind: object, *about: object) -> None:
        over = time.monotonic() + PATIENCE_S
        while kind is None and len(self.heard) + len(self.lost) < ENOUGH and time.monotonic() < over:
            time.sleep(PAUSE_S)
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> Counter[str]:
        return Counter(self.heard)

    def answering(self) -> set[str]:
        """Who answers within a second from now. The first may be what was asked before, or of a worker that the Envoy's main
        thread, which its admin page tells of, has not told yet (https://www.envoyproxy.io/docs/envoy/latest/intro/life_of_a_request)."""
        before = len(self.heard)
        time.sleep(1.0)
        return set(self.heard[before:])

    def _ask(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        while not self._stopped.wait(PAUSE_S):
            if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
                # Closed from there while nothing was asked: a client takes another one.
                connection.close()
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(f"port {port}: {error!r}")
                connection.close()
                continue
            if answer.status == 200:
                self.heard.append(answer.headers.get("x-version", "?"))
            else:
                self.lost.append(f"port {port}: {answer.status} {body[:100].decode(errors='replace')}")
            if answer.headers.get("connection", "").lower() == "close":
                connection.close()
        connection.close()


def ask(port: int) -> str:
    """The version that answers one request on this port; raises OSError or HTTPException when none does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise OSError(f"port {port} answers {answer.status}")
        return str(answer.headers.get("x-version", "?"))
    finally:
        connection.close()
