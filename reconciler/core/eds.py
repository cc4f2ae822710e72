"""The names by which Envoys ask for endpoints: those of a port of an Application or Container."""

from functools import lru_cache

from reconciler.core.model import Ref


def eds_name(target: Ref, port: str) -> str:
    """The EDS name of a port of an Application or Container: `Application/web/http`."""
    return f"{target}/{port}"


@lru_cache(maxsize=16384)
def eds_target(name: str) -> tuple[Ref, str] | None:
    """What an EDS name stands for; None for a name that is not one of ours."""
    head, _, port = name.rpartition("/")
    try:
        ref = Ref.parse(head)
    except ValueError:
        return None
    return (ref, port) if ref.kind in ("Application", "Container") and port else None
