"""Stand-ins for what a check must not use or cannot have: secrets, files of other machines, and scripts that would run."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2  # type: ignore[import-untyped]

from reconciler import tls
from reconciler.core.messages import Message, is_map, unpacked

SERIAL = 1
STAND_IN_DAYS = 3650
NOW = 1_700_000_000
SESSION_KEY_BYTES = 80
NULL = "/dev/null"

# A message without any of these in its bytes has nothing that needs a stand-in, so that it need not be walked through.
_MARKS = re.compile(rb"\.tls\.v3\.|\.quic\.v3\.|access_loggers\.file\.|event_sinks\.file\.|\.lua\.v3\.")
_SCRIPTS = re.compile(rb"\.lua\.v3\.Lua")
_LUA = re.compile(r"\.lua\.v3\.Lua\w*$")
_DATA = "envoy.config.core.v3.DataSource"
_TLS = "envoy.extensions.transport_sockets.tls.v3."
# Which secret a reference asks for, by the field it stands in; elsewhere (OAuth, credentials) it is a generic one.
_KINDS = {
    "tls_certificate_sds_secret_configs": "tls_certificate",
    "validation_context_sds_secret_config": "validation_context",
    "session_ticket_keys_sds_secret_config": "session_ticket_keys",
}
# Where a script is compiled and not run, what it would have defined is still looked for.
_DEFINED = (
    "function envoy_on_request() end function envoy_on_response() end "
    "function envoy_match() return false end function envoy_on_route() return '' end"
)


class CannotStandIn(Exception):
    """Something would run or be read that must not, and it stands where nothing can be put in its place."""


@dataclass
class StandIns:
    """What was put in while messages were prepared: `secrets` are the static secrets that the bootstrap then needs."""

    names: Collection[str]
    secrets: dict[tuple[str, str], Message] = field(default_factory=dict)
    scripts: int = 0

    def prepare(self, message: Message, raw: bytes) -> None:
        """Change this message (whose bytes are `raw`) in place; raises CannotStandIn."""
        if not _MARKS.search(raw) and not any(name.encode() in raw for name in self.names):
            return
        self.scripts = 0
        self._walk(message, "")
        if self.scripts != len(_SCRIPTS.findall(raw)):
            raise CannotStandIn("it holds a Lua script where Envoy's API has no message for it, so it was not tried")

    def _walk(self, message: Message, within: str) -> bool:
        name = message.DESCRIPTOR.full_name
        if name == "google.protobuf.Any":
            inner = unpacked(message)
            if inner is None or not self._walk(inner, within):
                return False
            message.value = inner.SerializeToString(deterministic=True)
            return True
        changed = self._replace(message, name, within)
        for of, value in message.ListFields():
            if of.message_type is None:
                continue
            if is_map(of):
                if of.message_type.fields_by_name["value"].message_type is None:
                    continue
                values = list(value.values())
            else:
                values = list(value) if of.is_repeated else [value]
            for one in values:
                changed |= self._walk(one, of.name)
        return changed

    def _replace(self, message: Message, name: str, within: str) -> bool:
        if name == f"{_TLS}SdsSecretConfig":
            return self._secret(message, _KINDS.get(within, "generic_secret"))
        if _LUA.search(name):
            self.scripts += 1
            return _scripts(message)
        rule = _RULES.get(name)
        return rule is not None and rule(message)

    def _secret(self, message: Message, kind: str) -> bool:
        if message.name not in self.names or not message.HasField("sds_config"):
            return False
        message.ClearField("sds_config")
        self.secrets.setdefault((message.name, kind), _stand_in(message.name, kind))
        return True


def _stand_in(name: str, kind: str) -> Message:
    secret = secret_pb2.Secret(name=name)
    if kind == "tls_certificate":
        _certificate(secret.tls_certificate)
    elif kind == "validation_context":
        secret.validation_context.trusted_ca.inline_bytes = _pair().chain_pem
    elif kind == "session_ticket_keys":
        secret.session_ticket_keys.keys.add().inline_bytes = b"\1" * SESSION_KEY_BYTES
    else:
        secret.generic_secret.secret.inline_string = "stand-in"
    return secret


@cache
def _pair() -> tls.Pair:
    return tls.self_signed(["stand-in.invalid"], STAND_IN_DAYS, SERIAL, NOW)


def _certificate(message: Message) -> None:
    message.certificate_chain.inline_bytes = _pair().chain_pem
    message.private_key.inline_bytes = _pair().key_pem


def _elsewhere(source: Message) -> bool:
    """Whether this DataSource is a file or a variable of the machine that the proxy runs on."""
    return source.WhichOneof("specifier") in ("filename", "environment_variable")


def _tls_certificate(message: Message) -> bool:
    sources = ("certificate_chain", "private_key", "pkcs12", "password")
    if not any(message.HasField(one) and _elsewhere(getattr(message, one)) for one in sources):
        return False
    for one in (*sources, "ocsp_staple", "watched_directory"):
        message.ClearField(one)
    _certificate(message)
    return True


def _validation(message: Message) -> bool:
    changed = False
    if message.HasField("trusted_ca") and _elsewhere(message.trusted_ca):
        message.trusted_ca.Clear()
        message.trusted_ca.inline_bytes = _pair().chain_pem
        changed = True
    for one in ("crl", "watched_directory"):
        if message.HasField(one) and (one == "watched_directory" or _elsewhere(message.crl)):
            message.ClearField(one)
            changed = True
    return changed


def _session_keys(message: Message) -> bool:
    found = [key for key in message.keys if _elsewhere(key)]
    for key in found:
        key.inline_bytes = b"\1" * SESSION_KEY_BYTES
    return bool(found)


def _file_log(message: Message) -> bool:
    # Envoy opens the file, and makes it, as soon as it has read the configuration.
    message.path = NULL
    return True


def _event_sink(message: Message) -> bool:
    message.event_log_path = NULL
    return True


def _scripts(message: Message) -> bool:
    """Envoy runs a script's outermost statements when it loads it, with all that Lua's own library can do to this machine."""
    changed = False
    for of, value in message.ListFields():
        if of.name == "inline_code":
            message.inline_code = compiled_only(value.encode())
        elif of.message_type is None:
            continue
        elif of.message_type.full_name == _DATA:
            _compiled(value)
        elif is_map(of) and of.message_type.fields_by_name["value"].message_type.full_name == _DATA:
            for one in value.values():
                _compiled(one)
        else:
            continue
        changed = True
    return changed


def _compiled(source: Message) -> None:
    if _elsewhere(source):
        source.inline_string = _DEFINED
    else:
        code = source.inline_bytes or source.inline_string.encode()
        source.inline_bytes = compiled_only(code).encode("utf-8", "surrogateescape")


def compiled_only(code: bytes) -> str:
    """Lua that compiles this code, fails as compiling it fails, and never runs any of it."""
    text = code.decode("utf-8", "surrogateescape")
    marks = ""
    while f"]{marks}" in f"{text}]" and len(marks) <= len(text):
        # A long bracket ends at its own level only, so one whose end the text does not hold cannot be left from inside.
        marks += "="
    return f"local _, fault = loadstring([{marks}[\n{text}]{marks}], '=script') if fault then error(fault, 0) end {_DEFINED}"


_RULES: dict[str, Callable[[Message], bool]] = {
    f"{_TLS}TlsCertificate": _tls_certificate,
    f"{_TLS}CertificateValidationContext": _validation,
    f"{_TLS}TlsSessionTicketKeys": _session_keys,
    "envoy.extensions.access_loggers.file.v3.FileAccessLog": _file_log,
    "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink": _event_sink,
}
