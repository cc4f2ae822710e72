"""Container: one workload."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from reconciler.core.kinds.part import Part
from reconciler.core.kinds.spec import Argument, Name, Reference, Run, broken

CPU_PATTERN = r"^([0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m)$"
MEMORY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,3})?([KMGT]i|[kMGT])?$"
IMAGE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$"
CONTAINER_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"
# What says something of a container that is run elsewhere; all else says how Convoy runs it.
REGISTERED = frozenset({"virtual_machine", "container_id", "image", "resources"})
SAID_OF_BOTH = frozenset({"environment"})


def some(text: str) -> str:
    if not any(digit in text for digit in "123456789"):
        raise broken(f"{text!r} is nothing at all", "leave it out where there is no limit")
    return text


class Resources(Part):
    """What a container may use at most."""

    cpu: Annotated[str, Field(pattern=CPU_PATTERN), AfterValidator(some)] | None = None
    """Processor cores: `"2"`, `"0.5"`, or `"500m"` in thousandths."""
    memory: Annotated[str, Field(pattern=MEMORY_PATTERN), AfterValidator(some)] | None = None
    """Memory in bytes: `"4Gi"`, `"512Mi"`, `"1G"`."""


class Container(Run):
    """One workload, on a host that is named or chosen; or, with `virtualMachine`, one that is registered: it runs there without
    Convoy, which knows of it and does nothing about it."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["command"]}, {"required": ["virtualMachine"]}]})
    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Container",
        "metadata": {"name": "files"},
        "spec": {
            "command": ["python3", "-m", "http.server", "${PORT}", "--bind", "${ADDRESS}"],
            "ports": [{"name": "http"}],
            "check": {"http": {"path": "/"}},
        },
    }

    command: tuple[Argument, ...] = Field((), min_length=1, max_length=1000)
    """The program and its arguments. `${PORT}` (the first port), `${PORT_<NAME>}`, `${ADDRESS}` and `${DIR}` are filled in."""
    host: Name | None = None
    """The Host that runs it; left out, Convoy chooses and then stays with its choice."""
    virtual_machine: Name | None = None
    """The VirtualMachine that it runs on, without Convoy."""
    container_id: str | None = Field(None, pattern=CONTAINER_ID_PATTERN, max_length=128)
    """By which id the container runtime of that machine knows it."""
    image: str | None = Field(None, pattern=IMAGE_PATTERN, max_length=512)
    """The image it was made from, there."""
    resources: Resources | None = None
    """What it may use at most, there."""

    @property
    def registered(self) -> bool:
        """Whether it is run without Convoy."""
        return self.virtual_machine is not None

    def references(self) -> Iterator[Reference]:
        if self.host:
            yield Reference(("host",), ("Host",), self.host)
        if self.virtual_machine:
            yield Reference(("virtualMachine",), ("VirtualMachine",), self.virtual_machine)

    @model_validator(mode="after")
    def _run_or_registered(self) -> Self:
        if self.virtual_machine is None:
            self._run_by_us()
            return self
        kind = type(self)
        for name in kind.model_fields:
            if name in self.model_fields_set and name not in REGISTERED | SAID_OF_BOTH:
                yaml = kind.model_fields[name].alias or name
                what = f"Convoy does not run what is registered on a virtual machine: `{yaml}` says nothing"
                raise broken(what, f"leave out `{yaml}`, or `virtualMachine`", yaml)
        for name, value in (("containerId", self.container_id), ("image", self.image)):
            if value is None:
                raise broken(
                    f"`{name}` is missing", "what is registered on a virtual machine says both `containerId` and `image`"
                )
        return self

    def _run_by_us(self) -> None:
        for name in sorted(REGISTERED & self.model_fields_set):
            yaml = type(self).model_fields[name].alias or name
            what = f"`{yaml}` says nothing of what Convoy runs itself"
            raise broken(what, "leave it out, or say by `virtualMachine` on which one it runs without Convoy", yaml)
        if not self.command:
            hint = "say which program is run; or by `virtualMachine` where it runs without Convoy"
            raise broken("`command` is missing", hint)
