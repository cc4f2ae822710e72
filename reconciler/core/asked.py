"""What one document asks about order, checked by itself: its needs, its hook, and what it selects."""

from collections.abc import Iterable, Iterator, Mapping

from reconciler.core.kinds.container import Container
from reconciler.core.kinds.document import Metadata
from reconciler.core.kinds.spec import Run, Spec
from reconciler.core.select import Selector, SelectorError
from reconciler.core.wording import Flaw

NEEDS = ("metadata", "needs")
# Fields of a Container that make no sense for what runs to its end and serves nobody ⇒ why.
NOT_OF_HOOKS = {"ports": "a hook serves nobody", "check": "a hook is judged by its exit status"}

# What is said about how Convoy runs something.
NOT_OF_REGISTERED = ("deletion", "drift", "needs", "hook")


def flaws(metadata: Metadata, spec: Spec, kinds: Mapping[str, type[Spec]]) -> Iterator[Flaw]:
    """What is wrong with what one document asks for."""
    if metadata.needs and not type(spec).runs:
        what = f"nothing runs because of a {type(spec).__name__}, so nothing of it can wait"
        yield Flaw(NEEDS, what, "let what runs say what it needs: Container, Application, Proxy")
    for i, need in enumerate(metadata.needs):
        if need in metadata.needs[:i]:
            yield Flaw((*NEEDS, i), f"{need} is there twice", "remove one")
    if isinstance(spec, Container) and spec.registered:
        yield from _registered(metadata)
    elif metadata.hook is not None:
        yield from _hook(metadata, spec)
        for i, text in enumerate(metadata.hook.only):
            yield from _selector(("metadata", "hook", "only", i), text, kinds)
    for one in spec.selecting():
        yield from _selector(("spec", *one.path), one.text, kinds)


def _registered(metadata: Metadata) -> Iterator[Flaw]:
    for name in NOT_OF_REGISTERED:
        if name in metadata.model_fields_set:
            what = f"Convoy does not run what is registered on a virtual machine: `{name}` says nothing"
            yield Flaw(("metadata", name), what, "leave it out", key=True)


def _hook(metadata: Metadata, spec: Spec) -> Iterator[Flaw]:
    if type(spec).__name__ != "Container" or not isinstance(spec, Run):
        yield Flaw(
            ("metadata", "hook"), f"{type(spec).__name__} cannot be a hook", "a hook is a Container that runs to its end"
        )
        return
    for name, why in NOT_OF_HOOKS.items():
        if name in spec.model_fields_set:
            yield Flaw(("spec", name), f"{why}: `{name}` says nothing", "leave it out", key=True)
    if "restart" in spec.model_fields_set and spec.restart != "never":
        yield Flaw(("spec", "restart"), "a hook runs once: it is never restarted", "leave it out, or write `never`")
    for name in ("deletion", "drift"):
        if name in metadata.model_fields_set:
            yield Flaw(("metadata", name), f"a hook does not go on running: `{name}` says nothing", "leave it out", key=True)


def _selector(path: tuple[str | int, ...], text: str, kinds: Iterable[str]) -> Iterator[Flaw]:
    try:
        Selector.parse([text], kinds)
    except SelectorError as error:
        yield Flaw(path, str(error))
