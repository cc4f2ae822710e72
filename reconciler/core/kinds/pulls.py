"""What Settings say about pull requests that Convoy opens."""

from typing import Literal

from pydantic import Field

from reconciler.core.kinds.notification import Url
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.kinds.spec import Part


class PullRequests(Part):
    """Changes that are asked for over the API may become pull requests: where asked so, or the branch takes no pushes."""

    forge: Literal["github", "gitlab", "gitea"]
    """Whose API; gitea is also Forgejo."""
    api: Url = "https://api.github.com"
    """Where it is, as in https://git.example/api/v1."""
    repository: str = Field(pattern=r"^[A-Za-z0-9._/-]+$", max_length=300)
    """OWNER/NAME; on GitLab also the project's number."""
    token: Sealed
    """A token that may open pull requests there, and nothing else. Branches are pushed with what Convoy pulls with."""
    always: bool = False
    """Every change that is asked for over the API becomes one, whatever it asks for."""
    allow_private: bool = False
    """Also on a forge on this machine or in a private network."""
