"""The forges whose webhooks are heard, a line each: how they prove who they are, how they are read, what bodies they send."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api.hooks import forges, signatures
from api.hooks.delivery import Delivery, Event

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Forge:
    """`check` understands nothing of the JSON; `read` is called only where it was content."""

    check: signatures.Check
    read: Callable[[Delivery], Event]
    types: tuple[str, ...] = (JSON,)


# Gitea signs in headers of several names, all alike; of GitHub's two only that by SHA-256 counts.
GITEA = signatures.bare("x-forgejo-signature", "x-gitea-signature")
HUB = signatures.prefixed("x-hub-signature")

FORGES: Mapping[str, Forge] = {
    "github": Forge(signatures.prefixed("x-hub-signature-256"), forges.github, (JSON, FORM)),
    "gitlab": Forge(signatures.gitlab, forges.gitlab),
    "gitea": Forge(GITEA, forges.gitea, (JSON, FORM)),
    "forgejo": Forge(GITEA, forges.gitea, (JSON, FORM)),
    "gogs": Forge(signatures.bare("x-gogs-signature"), forges.gogs, (JSON, FORM)),
    "bitbucket": Forge(HUB, forges.bitbucket),
    "bitbucket-server": Forge(HUB, forges.bitbucket_server),
    "azure": Forge(signatures.basic, forges.azure),
    "generic": Forge(signatures.prefixed("x-signature-256"), forges.generic),
}
