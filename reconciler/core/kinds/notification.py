"""Notification: who is told outward about what."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.kinds.sealed import SEALED, TEXT, Sealed, Tag, told_by_shape
from reconciler.core.kinds.spec import Part, Selecting, Spec, broken
from reconciler.core.kinds.window import Selected

# `status.failed`, `status`, `*.refused`.
Pattern = Annotated[str, Field(pattern=r"^[a-z*][a-z.*-]*$", max_length=100)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+([/?#]\S*)?$", max_length=2000)]
Address = Annotated[str, Field(pattern=r"^[^\s<>,;:\"@\x00-\x1f\x7f]+@[A-Za-z0-9.-]+$", max_length=254)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$", max_length=253)]


class ToWebhook(Part):
    """A POST with JSON, signed where there is a `secret`."""

    # Whoever knows it may often write there: no message repeats it.
    url: Annotated[Annotated[Url, Tag(TEXT)] | Annotated[Sealed, Tag(SEALED)], told_by_shape] = Field(repr=False)
    """Where to; sealed where the address itself is a secret. `http://` only with `allowPrivate`."""
    secret: Sealed | None = None
    """What signatures are made with, by HMAC-SHA256."""
    form: Literal["standard", "envoy-fleet"] = "standard"
    """`standard`: what happened at one time is one message, signed as https://www.standardwebhooks.com says. `envoy-fleet`:
    each event by itself and at once, as `{id, event, timestamp, data}`, the body signed in `X-Webhook-Signature`."""
    allow_private: bool = False
    """Also to addresses of this machine and of private networks; never to link-local ones, where clouds tell secrets."""


class ToSlack(Part):
    """An incoming webhook of Slack, or of what speaks its language (Mattermost, Rocket.Chat)."""

    url: Sealed = Field(repr=False)
    """Its address: whoever knows it may write there."""
    allow_private: bool = False
    """Also to addresses of this machine and of private networks."""


class ToEmail(Part):
    """An e-mail, through a server that takes mail in."""

    host: HostName
    """The mail server."""
    port: int = Field(587, ge=1, le=65535)
    """Its port."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`starttls` (587), `implicit` (465), or `none`, which needs `allowPrivate` and takes no password."""
    user: str = Field("", max_length=254, pattern=r"^[^\x00-\x1f\x7f]*$")
    """Who logs in."""
    password: Sealed | None = None
    """With what."""
    sender: Address = Field(alias="from")
    """Who it is from."""
    to: tuple[Address, ...] = Field(min_length=1, max_length=50)
    """Who it is for."""
    allow_private: bool = False
    """Also through a server on this machine or in a private network."""

    @model_validator(mode="after")
    def _no_password_in_the_open(self) -> Self:
        if self.tls == "none" and (self.password is not None or not self.allow_private):
            raise broken("`tls: none` would show mail and password to everybody on the way", "use starttls or implicit", "tls")
        if bool(self.user) != (self.password is not None):
            raise broken("`user` and `password` go together", "give both or neither", "user")
        return self


class ToCommitStatus(Part):
    """The status that a forge shows beside a commit: refused, accepted and being made so, as declared."""

    forge: Literal["github", "gitlab", "gitea"]
    """Whose API; gitea is also Forgejo."""
    api: Url = "https://api.github.com"
    """Where it is, as in https://git.example/api/v1."""
    repository: str = Field(pattern=r"^[A-Za-z0-9._/-]+$", max_length=300)
    """OWNER/NAME; on GitLab also the project's number."""
    token: Sealed
    """A token that may write statuses of commits, and nothing else."""
    name: str = Field("convoy", pattern=r"^[A-Za-z0-9 ._/-]+$", max_length=100)
    """Tells statuses of one commit apart."""
    allow_private: bool = False
    """Also to a forge on this machine or in a private network."""


class To(Part):
    """Exactly one way."""

    webhook: ToWebhook | None = None
    """A POST with JSON."""
    slack: ToSlack | None = None
    """A message in a channel."""
    email: ToEmail | None = None
    """A mail."""
    commit_status: ToCommitStatus | None = None
    """A commit's status on its forge."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("webhook", "slack", "email", "commit_status") if getattr(self, name) is not None]
        if len(given) != 1:
            what = "no way to tell is given" if not given else "there is more than one way to tell"
            raise broken(what, "write one of webhook, slack, email, commitStatus; a Notification each")
        return self

    @property
    def way(self) -> ToWebhook | ToSlack | ToEmail | ToCommitStatus:
        found = self.webhook or self.slack or self.email or self.commit_status
        assert found is not None  # noqa: S101 - the model's own rule
        return found


class Notification(Spec):
    """Tells somebody outside what happens: by webhook, Slack, e-mail or a commit's status."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Notification",
        "metadata": {"name": "on-call"},
        "spec": {
            "on": ["revision.refused", "status.failed", "status.held", "xds.refused"],
            "to": {"webhook": {"url": "https://hooks.example/convoy"}},
        },
    }

    on: tuple[Pattern, ...] = Field(min_length=1, max_length=50)
    """Which events, as `convoy events` names them: `status.failed`, `action` (all that begin so), `'*.refused'`."""
    only: tuple[Selected, ...] = Field((), max_length=50)
    """About which resources, as `--only` says it; left out, all. Events about revisions are told in any case."""
    to: To
    """Who is told, and how."""
    active: bool = True
    """`false`: nobody is told, and what happens meanwhile is not told later."""
    repeat_after_s: float = Field(3600.0, ge=0, le=30 * 86400, alias="repeatAfterSeconds")
    """What is still the same is told again only if it happens again so much later; 0: every time that it happens."""

    def selecting(self) -> Iterator[Selecting]:
        for i, text in enumerate(self.only):
            yield Selecting(("only", i), text)
