"""`convoy import envoy`: an Envoy that runs already, as documents of a fleet."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from reconciler.commands.options import FAILED, Call, Command, Failure, Group, common

if TYPE_CHECKING:
    from reconciler.core.adopt import Adopted, Input, Verdict
    from reconciler.core.adopt.write import Draft

LEFT_OUT = 3


@click.group("import", cls=Group, short_help="What runs already, as documents of a fleet.")
def bring() -> None:
    """What runs already, as documents of a fleet."""


@bring.command(
    cls=Command,
    examples=[
        ("convoy import envoy envoy.yaml", "print the documents that say what this bootstrap does"),
        ("convoy import envoy --admin http://127.0.0.1:9901 --into fleet/edge", "what a running Envoy has, as files"),
        ("convoy import envoy dump.json --name edge --strict -o json", "for programs: fail when anything was left out"),
        ("convoy import envoy --admin /run/envoy/admin.sock --report report.md > edge.yaml", "the report for a pull request"),
    ],
    exits=[
        (0, "the documents say what the Envoy runs, save what the report names"),
        (1, "it cannot be read, or the documents have problems or say something else"),
        (3, "with --strict: something was left out"),
    ],
)
@click.argument("file", type=click.File("rb"), required=False)
@click.option(
    "--admin", metavar="URL|SOCKET", help="Ask a running Envoy: http://127.0.0.1:9901, or the path of its Unix socket."
)
@click.option(
    "--into", type=click.Path(path_type=Path), metavar="DIRECTORY", help="Write files here; none that is there is overwritten."
)
@click.option(
    "--name", metavar="NAME", default="", help="The ProxyGroup's and Configuration's name.  [the Envoy's node.cluster]"
)
@click.option("--host", metavar="NAME", default="", help="The Host that is to run it.  [Convoy chooses]")
@click.option(
    "--shared-clusters", "shared", is_flag=True, help="Clusters as documents of their own, where their names allow it."
)
@click.option("--plain", is_flag=True, help="Only Envoy's own words, no short spellings.")
@click.option("--check/--no-check", "checked", default=True, help="Compare what would be told with what runs.  [--check]")
@click.option("--strict", is_flag=True, help="Exit with 3 when anything was left out.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the report here: .json, .md or text.",
)
@common("markdown")
def envoy(
    call: Call,
    file: BinaryIO | None,
    admin: str | None,
    into: Path | None,
    name: str,
    host: str,
    shared: bool,
    plain: bool,
    checked: bool,
    strict: bool,
    report: Path | None,
) -> None:
    """Write the documents that make Convoy tell an Envoy what it runs already.

    FILE is its bootstrap, or what its admin page /config_dump?include_eds answers; - is standard input. The documents go to
    standard output or, with --into, into files; what became of every part is reported on standard error. Nothing is dropped in
    silence, nothing is changed on any host, and no private key is ever written.
    """
    if (file is None) == (admin is None):
        raise click.UsageError("give a FILE (or -), or --admin, and not both")
    if call.output == "markdown" and into is None:
        raise click.UsageError("with -o markdown the report is the answer: say --into which directory the documents go")
    for option, wish in (("--name", name), ("--host", host)):
        _label(option, wish)
    from reconciler.core import adopt, show_adopted

    given = _given(file, admin)
    if given.problems:
        _refuse(call, given)
    with call.terminal.progress("reading and comparing"):
        found = adopt.adopt(given, adopt.Names(group=name, host=host), plain=plain, shared=shared)
        verdict = adopt.check(found) if checked else None
    files = write(found.drafts, into, found.group) if into is not None else []
    if call.json:
        call.terminal.json(show_adopted.adopted_json(found, verdict, files))
    elif call.output == "markdown":
        call.terminal.raw(show_adopted.adopted_markdown(found, verdict))
    else:
        for shown in files:
            call.terminal.raw(shown)
        if into is None:
            call.terminal.raw("---\n".join(draft.text for draft in found.drafts))
        _tell(call, found, verdict)
    if report is not None:
        _report(report, found, verdict, files)
    _end(found, verdict, strict)


def _label(option: str, given: str) -> None:
    from reconciler.core.adopt.names import is_label

    if given and not is_label(given):
        raise click.UsageError(f"{option}: {given!r} is no name: lower-case letters, digits and dashes, 63 at the most")


def _given(file: BinaryIO | None, admin: str | None) -> "Input":
    from reconciler.core.adopt import LARGEST_INPUT, read
    from reconciler.seams import Seams

    if admin is not None:
        from reconciler.envoy_dump import config_dump

        return read(admin, config_dump(admin, LARGEST_INPUT, Seams()))
    assert file is not None  # noqa: S101 - the caller has seen to it
    name = getattr(file, "name", None)
    shown = name if isinstance(name, str) and name not in ("<stdin>", "-") else "standard input"
    try:
        return read(shown, file.read(LARGEST_INPUT + 1))
    except OSError as error:
        raise Failure(f"cannot read {shown}: {error.strerror or error}") from error


def _refuse(call: Call, given: "Input") -> None:
    from reconciler.core import show

    if call.json:
        call.terminal.json({"problems": [show.problem_json(problem) for problem in given.problems]})
    else:
        call.terminal.page(show.problems(given.problems, {}, limit=20))
    raise click.exceptions.Exit(FAILED)


def _tell(call: Call, found: "Adopted", verdict: "Verdict | None") -> None:
    from reconciler.core import show, show_adopted

    for line in show.lay_out(show_adopted.adopted(found, verdict), call.terminal.width):
        call.terminal.note("".join(span.text for span in line).rstrip(), "strong" if not line else line[0].style or "strong")


def write(drafts: "Sequence[Draft]", into: Path, group: str) -> list[str]:
    """A file for the proxies, one for the Configuration, one for its clusters, and one for each Certificate."""
    texts: dict[str, list[str]] = {}
    for draft in drafts:
        name = {"ProxyGroup": "proxies", "Proxy": "proxies", "Cluster": "clusters"}.get(draft.kind, draft.kind.lower())
        path = f"{group}-{name}-{draft.name}.yaml" if draft.kind == "Certificate" else f"{group}-{name}.yaml"
        texts.setdefault(path, []).append(draft.text)
    there = [name for name in texts if os.path.lexists(into / name)]
    if there:
        raise Failure(f"{into / there[0]} is there already: name another directory, another --name, or take it away")
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, parts in texts.items():
            # Whoever put a file or a link there meanwhile keeps it.
            with (into / name).open("x", encoding="utf-8") as made:
                made.write("---\n".join(parts))
    except OSError as error:
        raise Failure(f"cannot write into {into}: {error.strerror or error}") from error
    return [str(into / name) for name in texts]


def _report(path: Path, found: "Adopted", verdict: "Verdict | None", files: Sequence[str]) -> None:
    import json

    from reconciler.core import show, show_adopted

    if path.suffix == ".json":
        text = json.dumps(show_adopted.adopted_json(found, verdict, files or ["-"]), ensure_ascii=False, indent=2) + "\n"
    elif path.suffix == ".md":
        text = show_adopted.adopted_markdown(found, verdict)
    else:
        text = show.plain(show_adopted.adopted(found, verdict), 100)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror or error}") from error


def _end(found: "Adopted", verdict: "Verdict | None", strict: bool) -> None:
    sys.stdout.flush()
    if verdict is not None and not verdict.same:
        raise click.exceptions.Exit(FAILED)
    if strict and any(line.fate == "left out" for line in found.lines):
        raise click.exceptions.Exit(LEFT_OUT)
