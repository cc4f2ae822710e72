"""How long a stream waits for its client."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a stream waits for its client, in seconds."""

    # For an answer before the next step is taken all the same. Above Envoy's initial_fetch_timeout (15 s), for which an ACK
    # is held back while a cluster warms.
    step_s: float = 20.0
    # For an answer before newer content of the same type is sent behind it.
    overtake_s: float = 1.0
    # After the last route was acknowledged, before what it no longer uses is removed: a request that chose its route just
    # before, or is retried, still finds its cluster.
    linger_s: float = 0.5
