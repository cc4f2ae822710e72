"""What Proxies are pinned to: a Configuration as some commit declares it, or why there is none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from reconciler.core.envelope import Checked, check, tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.layers import root_of
from reconciler.core.messages import Fault
from reconciler.core.model import Problem, Ref, Resource
from reconciler.core.near import did_you_mean, listing
from reconciler.core.parse import Document

KIND = "Configuration"


@dataclass(frozen=True, slots=True)
class Then:
    """The Configurations of one commit, each with all that declares it there.

    `unread`: the first of what could not be read in that commit, which may have declared more; None where all could be.
    """

    declared: Mapping[Ref, tuple[Checked, ...]] = field(default_factory=dict)
    unread: Problem | None = None


def then(documents: Iterable[Document], roots: str | tuple[str, ...], problems: Iterable[Problem]) -> Then:
    """`documents` as they are rendered there, and what was wrong with reading them."""
    declared: dict[Ref, tuple[Checked, ...]] = {}
    for document in documents:
        if document.value.get("kind") != KIND:
            continue
        tenant, misplaced = tenant_of(document.source.file, root_of(document.source.file, roots))
        found = check(document, tenant, KINDS)
        if misplaced is None and found.ref is not None:
            declared[found.ref] = (*declared.get(found.ref, ()), found)
    return Then(declared, next(iter(problems), None))


def pin(proxy: Resource) -> tuple[Ref, str] | None:
    """The Configuration that a Proxy is pinned to, and the commit."""
    spec = proxy.spec
    if not isinstance(spec, Proxy) or not spec.revision or not spec.configuration:
        return None
    return Ref(KIND, spec.configuration, proxy.ref.tenant), spec.revision


def as_then(ref: Ref, revision: str, known: Then) -> Resource | Fault:
    """This Configuration as that commit declares it; a Fault in the spec of whoever names it where that is of no use."""
    commit, found = revision[:12], known.declared.get(ref, ())
    if not found:
        if known.unread is not None:
            what = f"of what commit {commit} declares, not all can be read: {_at(known.unread)}"
            return Fault(("revision",), what, "name a commit that has come into force")
        names = [other.name for other in known.declared if other.tenant == ref.tenant]
        hint = did_you_mean(ref.name, names, f"it has {listing(sorted(names))}" if names else "it has none at all")
        return Fault(("configuration",), f"commit {commit} declares no {ref}", hint)
    if len(found) > 1:
        return Fault(("revision",), f"commit {commit} declares {ref} twice", "name a commit that has come into force")
    if found[0].resource is None:
        words = _at(found[0].problems[0]) if found[0].problems else "it cannot be read"
        what = f"what commit {commit} declares as {ref} is not valid: {words}"
        return Fault(("revision",), what, "name another commit, or bring the Configuration back in a new one")
    return found[0].resource


def at_the_pin(pin: Resource, found: tuple[Ref, Fault]) -> tuple[Ref, Fault]:
    """What is wrong with what was declared in the past can be mended only where that is named."""
    ref, fault = found
    commit = (cast(Proxy, pin.spec).revision or "")[:12]
    what = f"{ref}, as commit {commit} declares it: {fault.what}"
    return pin.ref, Fault(("revision",), what, fault.hint or "name another commit")


def _at(problem: Problem) -> str:
    words = "it holds what may be a secret" if problem.quiet else problem.what
    return f"{words} ({problem.where} there)"
