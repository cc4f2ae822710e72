"""The ways of telling: a signed webhook, Slack, e-mail, and the status of a commit. Secrets are opened here, not before."""

import contextlib
import json
import smtplib
import socket
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import urlsplit

from reconciler.addressed import origin
from reconciler.core import show_forms
from reconciler.core.kinds.notification import ToCommitStatus, ToEmail, ToSlack, ToWebhook
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.notices import signature
from reconciler.core.show_notice import lines, slack, statuses, title
from reconciler.forge import FORGES, ForgeError, State, Wire
from reconciler.hangup import shut, within
from reconciler.notify.outbound import PATIENCE_S, NotTold, connect, post, tls, words
from reconciler.seams import Seams

# What a mail server says first; and how long it may take over its last words.
GREETS, LEAVE_S = 220, 2.0
Message = Mapping[str, Any]
# What is sealed, what for, and the origin that it will be sent to, "" for nowhere ⇒ the plaintext; raises SecretError.
Open = Callable[[Sealed, str, str], bytes]


def tell(way: ToWebhook | ToSlack | ToEmail | ToCommitStatus, message: Message, open: Open, seams: Seams) -> None:
    """Raises NotTold, and what `open` raises."""
    if isinstance(way, ToWebhook):
        _webhook(way, message, open, seams)
    elif isinstance(way, ToSlack):
        body = json.dumps(slack(message)).encode()
        post(_text(open, way.url, "url"), {"Content-Type": "application/json"}, body, way.allow_private)
    elif isinstance(way, ToEmail):
        _email(way, message, open, seams)
    else:
        _commit_status(way, message, open, seams)


def _text(open: Open, sealed: Sealed, what: str, to: str = "") -> str:
    try:
        return open(sealed, f"tell: {what}", to).decode("ascii").strip()
    except UnicodeDecodeError:
        raise NotTold(f"the sealed {what} holds what no {what} can: seal it again") from None


def _webhook(way: ToWebhook, message: Message, open: Open, seams: Seams) -> None:
    url = _text(open, way.url, "url") if isinstance(way.url, Sealed) else way.url
    if way.form == "envoy-fleet":
        body = json.dumps(show_forms.payload(message)).encode()
        headers = {"Content-Type": "application/json"}
        if way.secret is not None:
            headers[show_forms.SIGNATURE] = show_forms.signature(open(way.secret, "tell: secret", ""), body)
        post(url, headers, body, way.allow_private)
        return
    body = json.dumps({**message, "title": title(message), "text": "\n".join(lines(message))}).encode()
    at = int(seams.now())
    headers = {"Content-Type": "application/json", "webhook-id": message["id"], "webhook-timestamp": str(at)}
    if way.secret is not None:
        headers["webhook-signature"] = signature(open(way.secret, "tell: secret", ""), message["id"], at, body)
    post(url, headers, body, way.allow_private)


def _email(way: ToEmail, message: Message, open: Open, seams: Seams) -> None:
    mail = EmailMessage(policy=SMTP)
    # A header is one line: `title` is, and addresses were checked where they were written.
    mail["Subject"], mail["From"], mail["To"] = title(message), way.sender, ", ".join(way.to)
    mail["Date"], mail["Message-ID"] = formatdate(seams.now()), f"<{message['id']}@convoy>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(lines(message)) + "\n")
    try:
        password = _text(open, way.password, "password", _place(way)) if way.password is not None else ""
        with contextlib.closing(_Mail(way)) as server:
            with within(PATIENCE_S * 2, lambda: shut(server.sock)):
                server.greeted()
                if way.tls == "starttls":
                    server.starttls(context=tls())
                if way.user:
                    server.login(way.user, password)
                server.send_message(mail)
            # It has the mail, however it takes leave.
            with contextlib.suppress(OSError), within(LEAVE_S, lambda: shut(server.sock)):
                server.quit()
    except smtplib.SMTPAuthenticationError:
        raise NotTold(f"the mail server {way.host} does not let {way.user} in: is the password the right one?") from None
    except smtplib.SMTPResponseException as error:
        raise NotTold(f"the mail server {way.host} refuses the mail ({error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise NotTold(f"the mail server {way.host} takes no mail for {', '.join(sorted(error.recipients))}") from None
    except smtplib.SMTPException as error:
        raise NotTold(f"the mail server {way.host} does not take the mail ({type(error).__name__})") from None
    except (OSError, ValueError) as error:
        raise NotTold(f"the mail server {way.host} cannot be told: {words(error)}") from None


def _place(way: ToEmail) -> str:
    return origin(f"smtp://{f'[{way.host}]' if ':' in way.host else way.host}:{way.port}")


class _Mail(smtplib.SMTP):
    """To an address that was looked at, once it is `greeted`: who drips in that is to be cut off, too."""

    def __init__(self, way: ToEmail) -> None:
        self._way = way
        super().__init__(local_hostname="localhost", timeout=PATIENCE_S)
        # For what its certificate says, as where the library connects at once.
        self._host = way.host

    def greeted(self) -> None:
        code, words = self.connect(self._way.host, self._way.port)
        if code != GREETS:
            raise smtplib.SMTPConnectError(code, words)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        self.sock = made = connect(host, port, self._way.allow_private, timeout)
        if self._way.tls == "implicit":
            self.sock = made = secured = tls().wrap_socket(made, server_hostname=host, do_handshake_on_connect=False)
            secured.do_handshake()
        return made


def _commit_status(way: ToCommitStatus, message: Message, open: Open, seams: Seams) -> None:
    host = urlsplit(way.api).hostname or ""

    def dial(host: str, port: int, timeout_s: float) -> socket.socket:
        return connect(host, port, way.allow_private, min(timeout_s, PATIENCE_S))

    try:
        kind, token = FORGES[way.forge], _text(open, way.token, "token", origin(way.api))
        wire = Wire(way.api, token, kind.headers(token), seams, plain=way.allow_private, patience_s=PATIENCE_S * 2, dial=dial)
        client = kind.client(wire, way.repository)
        for revision, (state, description) in statuses(message).items():
            client.set_status(revision, cast(State, state), description, name=way.name)
    except ForgeError as error:
        raise NotTold(str(error)) from error
    except (OSError, ValueError) as error:
        raise NotTold(f"{host} cannot be told: {words(error)}") from None
