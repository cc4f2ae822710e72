"""TLS material of an Envoy: what has a private key becomes a Certificate, trusted authorities stay where they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.core.adopt.hidden import source
from reconciler.core.adopt.inventory import Item
from reconciler.core.adopt.ledger import Ledger
from reconciler.core.adopt.names import label, unique
from reconciler.core.adopt.same import rewritten
from reconciler.core.adopt.write import Draft
from reconciler.core.envoy import ADS
from reconciler.core.messages import Message

CONTEXT = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext"
SDS = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig"
BEGIN = "-----BEGIN CERTIFICATE-----"


@dataclass(slots=True)
class Certificates:
    """What is found out about secrets: the Certificates that take their place, and what stands in place."""

    drafts: dict[str, Draft] = field(default_factory=dict)
    # The Envoy's name of a secret ⇒ its Certificate's; of one that holds a validation context ⇒ that.
    renamed: dict[str, str] = field(default_factory=dict)
    trusted: dict[str, Message] = field(default_factory=dict)
    # One whose key is in a file of the host ⇒ that.
    filed: dict[str, Message] = field(default_factory=dict)
    # Secrets of other types that nothing here can hold ⇒ what they are.
    unheld: dict[str, str] = field(default_factory=dict)
    _chains: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, items: Iterable[Item], ledger: Ledger) -> None:
        for item in items:
            kind = item.message.WhichOneof("type") or "nothing"
            inline = kind == "tls_certificate" and any(source(item.message.tls_certificate.private_key, ()))
            if kind == "validation_context":
                self.trusted[item.name] = item.message.validation_context
                ledger.changed(item.section, "the authorities that it trusts stand where it was named", item.name)
            elif kind == "tls_certificate" and not inline and not item.dynamic:
                self.filed[item.name] = item.message.tls_certificate
                ledger.changed(item.section, "its files are named where it was", item.name)
            elif kind == "tls_certificate":
                name = self.certificate(item.message.tls_certificate, item.name)
                self.renamed[item.name] = name
                _told(ledger, item.section, item.name, name)
            else:
                self.unheld[item.name] = kind
                ledger.left(
                    item.section,
                    f"a secret of this type ({kind}) has no kind in Convoy",
                    item.name,
                    "give it as a file of the host",
                )

    def certificate(self, message: Message, wish: str) -> str:
        """The name of the Certificate that stands for this one."""
        chain = _chain(message.certificate_chain)
        key = (chain, "" if chain else wish)
        if key not in self._chains:
            name = unique(label(wish, "certificate"), self.drafts)
            self._chains[key] = name
            self.drafts[name] = Draft(
                "Certificate", name, {"chain": chain} if chain else {}, _remarks(name, message, bool(chain))
            )
        return self._chains[key]

    def settle(self, message: Message, name: str, control: frozenset[str]) -> list[str]:
        """Make every reference in this message lead to what is in the documents; gives back in words what is another now."""
        said: list[str] = []

        def change(one: Message) -> bool:
            if one.DESCRIPTOR.full_name == CONTEXT:
                return self._context(one, name, said)
            if one.DESCRIPTOR.full_name == SDS:
                return self._named(one, said, control)
            return False

        rewritten(message, change)
        return said

    def _context(self, one: Message, name: str, said: list[str]) -> bool:
        inline = [cert for cert in one.tls_certificates if any(source(cert.private_key, ()))]
        done = trusts = False
        if inline and len(inline) == len(one.tls_certificates):
            for i, cert in enumerate(inline):
                made = self.certificate(cert, name if len(inline) == 1 else f"{name}-{i + 1}")
                one.tls_certificate_sds_secret_configs.add(name=made).sds_config.CopyFrom(ADS)
                said.append(f"its private key is none of this document: it comes from Certificate/{made}, by SDS")
            one.ClearField("tls_certificates")
            done = True
        named = one.tls_certificate_sds_secret_configs
        if named and all(config.name in self.filed for config in named):
            one.tls_certificates.extend(self.filed[config.name] for config in named)
            one.ClearField("tls_certificate_sds_secret_configs")
            said.append("the files of its certificate are named in it, and not by a secret of the bootstrap")
            done = True
        combined = one.combined_validation_context
        if one.WhichOneof("validation_context_type") == "combined_validation_context":
            found = self.trusted.get(combined.validation_context_sds_secret_config.name)
            if found is not None:
                whole = type(found)()
                whole.CopyFrom(combined.default_validation_context)
                whole.MergeFrom(found)
                one.validation_context.CopyFrom(whole)
                trusts = True
        elif one.WhichOneof("validation_context_type") == "validation_context_sds_secret_config":
            found = self.trusted.get(one.validation_context_sds_secret_config.name)
            if found is not None:
                one.validation_context.CopyFrom(found)
                trusts = True
        if trusts:
            said.append("the authorities that it trusts stand in it, and do not come by SDS")
        return done or trusts

    def _named(self, one: Message, said: list[str], control: frozenset[str]) -> bool:
        new = self.renamed.get(one.name)
        ours = one.sds_config.WhichOneof("config_source_specifier")
        if new is None or not (ours in ("ads", "self", None) or served(one.sds_config, control)):
            return False
        if ours not in ("ads", "self"):
            one.sds_config.CopyFrom(ADS)
            said.append(f"the secret {one.name!r} comes from Convoy, by SDS")
        if new != one.name:
            said.append(f"the secret {one.name!r} is Certificate/{new}")
            one.name = new
        return True


def served(config: Message, control: frozenset[str]) -> bool:
    """Whether a config source asks the control plane that Convoy takes the place of."""
    services = config.api_config_source.grpc_services
    named = [one.envoy_grpc.cluster_name for one in services] + list(config.api_config_source.cluster_names)
    return bool(named) and all(name in control for name in named)


def _told(ledger: Ledger, section: str, name: str, certificate: str) -> None:
    ledger.left(
        section,
        f"its private key cannot be carried; Certificate/{certificate} takes its place, and lacks `key` until it is sealed",
        name,
        f"convoy secret seal < {certificate}.key",
    )


def _remarks(name: str, message: Message, chain: bool) -> tuple[str, ...]:
    remarks = ["Its private key cannot be read from an Envoy, and must not stand in Git in the clear. Put under `key:` what"]
    remarks.append(f"  convoy secret seal < {name}.key")
    remarks.append("prints.")
    if not chain:
        file = message.certificate_chain.filename
        known = f" (the Envoy has it in {file})" if file.isprintable() and file and file != "[redacted]" else ""
        remarks.append(f"`chain` is missing too: the certificate with its intermediates, PEM{known}.")
    return tuple(remarks)


def _chain(data: Message) -> str:
    text = data.inline_string or data.inline_bytes.decode(errors="replace")
    return text if text.startswith(BEGIN) and "PRIVATE KEY" not in text else ""


def stand_ins(drafts: Mapping[str, Draft]) -> dict[str, Draft]:
    """The same Certificates as they will be, once somebody has sealed their keys: for looking at everything else."""
    return {name: Draft("Certificate", name, {"selfSigned": {"names": ["stand-in.invalid"]}}) for name in drafts}
