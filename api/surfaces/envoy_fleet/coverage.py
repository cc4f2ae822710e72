"""COVERAGE.txt: which documented operations are served."""

from collections.abc import Collection

from api.surfaces.envoy_fleet.contract import contract, operations

HEAD = """\
{title}: its documented operations.
[x] served, [ ] not. Written by `make test T="tests/api/envoy_fleet/test_coverage.py --update"`.

"""
# What of an operation that is served is refused, by name.
REFUSED: dict[str, str] = {
    "deployments.create": "every deployment_strategy but all_at_once is refused, and canary_config: the example too",
    "bulk.proxies.update": "nothing but cluster_id is changed of many at once",
}


def coverage(ids: Collection[str]) -> str:
    every = operations().values()
    widest = max(len(one.id) for one in every)
    lines = []
    for one in every:
        note = f"  ({REFUSED[one.id]})" if one.id in REFUSED else ""
        mark = "x" if one.id in ids else " "
        lines.append(f"[{mark}] {one.section:>5}  {one.id:<{widest}}  {one.method:<6} {one.path}{note}\n")
    return HEAD.format(title=contract()["title"].partition(" - ")[0]) + "".join(lines)
