"""Rollout: a version of a Configuration, taken to some proxies."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.kinds.proxy import Revision
from reconciler.core.kinds.spec import Name, Spec, broken


class Rollout(Spec):
    """That some proxies are to serve a Configuration as a commit declares it: a record, by which is seen how far that has got.

    What proxies serve is said by themselves (`configuration`, `revision`), in the same commit. A Rollout stands in nobody's
    way: they may go on to something else, or be gone.
    """

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Rollout",
        "metadata": {"name": "edge-11-30"},
        "spec": {
            "configuration": "edge",
            "revision": "8d1c8b69c3fce7bea45c73efd06983e3c419a92f",
            "proxies": ["edge-1"],
        },
    }

    configuration: Name
    """The Configuration."""
    revision: Revision
    """The commit, by all its 40 digits, that declares it as it is taken to the proxies."""
    proxies: tuple[Name, ...] = Field(min_length=1, max_length=2000)
    """The Proxies that it is taken to."""
    strategy: Literal["all-at-once"] = "all-at-once"
    """In which order: they are all told in the same moment."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        known: set[str] = set()
        for i, name in enumerate(self.proxies):
            if name in known:
                raise broken(f"the proxy {name!r} is named twice", "remove one of the two", "proxies", i)
            known.add(name)
        return self
