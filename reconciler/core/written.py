"""A fleet's files with one change made to them: in the document's own lines, in a new file, or in the environment's layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.as_yaml import as_yaml
from reconciler.core.envelope import check, digest_of, ref_of, tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.laid import laid
from reconciler.core.layers import ENVIRONMENT, Layer, declared, root_of
from reconciler.core.model import DEFAULT_TENANT, Ref, blob_id
from reconciler.core.own_layer import NotWritten, literal, patch_between, with_patch
from reconciler.core.parse import MARKER, Document, Parsed, chunks, parse
from reconciler.core.proposal import Change, Refused, file_of, wanted
from reconciler.core.rewrite import NotRewritten, rewritten
from reconciler.core.splice import NotSpliced, Written, spliced

Text = Callable[[str], bytes]
NOTHING = Parsed(())
BY_HAND = "change the file by a pull request"


@dataclass(frozen=True, slots=True)
class Files:
    """One state of a fleet: `files` path ⇒ blob, and what its resources are made from. Nothing may change either.

    `documents` is None where it has to be found out by rendering.
    """

    files: Mapping[str, str]
    root: str = ""
    layers: tuple[Layer, ...] = ()
    documents: Mapping[Ref, Document] | None = None

    @property
    def roots(self) -> "str | tuple[str, ...]":
        return tuple(layer.root for layer in self.layers) or self.root

    def ref(self, document: Document) -> Ref | None:
        tenant = tenant_of(document.source.file, root_of(document.source.file, self.roots))[0]
        return ref_of(document.value, tenant, KINDS)


@dataclass(frozen=True, slots=True)
class Made:
    """The files after a change. `path` got `text` (None: it is gone), which says what is `parsed`; all are empty where nothing
    changes."""

    files: Files
    path: str = ""
    text: bytes | None = b""
    digest: str = ""
    created: bool = False
    parsed: Parsed = NOTHING


def made(change: Change, before: Files, text: Text) -> Made:
    """`text`: blob ⇒ content. Raises Refused."""
    ref, documents = change.ref, before.documents or {}
    here = documents.get(ref)
    after = wanted(change, here.value if here is not None else None)
    if here is not None and after == here.value:
        return Made(before, digest=digest_of(after))
    try:
        path, new = _changed(ref, before, here, after, text)
    except (NotRewritten, NotSpliced, NotWritten) as error:
        raise Refused("unwritable", f"{ref} cannot be written: {error}", BY_HAND) from None
    blob = blob_id(new) if new is not None else None
    parsed = parse(path, blob, new) if blob is not None and new is not None else NOTHING
    known = None if before.layers else _known(ref, before, documents, parsed)
    if known is not None:
        _unflawed(ref, known.get(ref), here)
    result = Files(laid(before.files, {path: blob}), before.root, before.layers, known)
    return Made(result, path, new, digest_of(after) if after is not None else "", here is None, parsed)


def together(changes: Sequence[Change], before: Files, text: Text) -> tuple[Files, dict[Ref, Made]]:
    """Those of the changes that say something else within their documents' own lines, as `made` does them one after the other,
    but at once: a file is read and written once, however many of them stand in it. Raises Refused."""
    documents = before.documents or {}
    edits: dict[str, dict[Ref, tuple[Document, bytes, str]]] = {}
    texts: dict[str, bytes] = {}
    for change in changes if len(changes) > 1 and not before.layers else ():
        here = documents.get(change.ref)
        after = wanted(change, here.value) if here is not None else None
        if here is None or after is None or after == here.value:
            continue
        try:
            raw = rewritten(here.raw, here.value, after)
        except NotRewritten:
            continue
        path = here.source.file
        if path not in texts:
            texts[path] = text(before.files[path])
        if _alone(raw, here, texts[path]):
            edits.setdefault(path, {})[change.ref] = here, raw, digest_of(after)
    if not edits:
        return before, {}
    files, known, results = dict[str, str | None](), dict[Ref, Document | None](), dict[Ref, Made]()
    for path, every in edits.items():
        new = texts[path]
        for here, raw, _ in sorted(every.values(), key=lambda edit: edit[0].source.start, reverse=True):
            new = new[: here.source.start] + raw + new[here.source.end :]
        named = ((before.ref(one), one) for one in parse(path, blob_id(new), new).documents)
        now = {ref: one for ref, one in named if ref is not None}
        as_meant = all(ref in now and digest_of(now[ref].value) == edit[2] for ref, edit in every.items())
        was = ((before.ref(one), one) for one in parse(path, "", texts[path]).documents)
        others = {ref: one for ref, one in was if ref is not None and ref not in every}
        kept = all(ref in now and now[ref].raw == one.raw for ref, one in others.items())
        if not (as_meant and kept) or len(now) != len(every) + len(others):
            # Told one by one, by whoever can say which of them it is.
            continue
        files[path] = blob_id(new)
        known |= now
        for ref, (here, _, digest) in every.items():
            _unflawed(ref, now[ref], here)
            results[ref] = Made(before, path, new, digest)
    result = replace(before, files=laid(before.files, files), documents=laid(documents, known)) if results else before
    return result, {ref: replace(one, files=result) for ref, one in results.items()}


def _own(files: Files, document: Document) -> bool:
    """Whether it is just a document in the fleet's own directory."""
    return document.trail is None and root_of(document.source.file, files.roots) == files.root


def _changed(
    ref: Ref, before: Files, here: Document | None, after: Mapping[str, Any] | None, text: Text
) -> tuple[str, bytes | None]:
    if here is None:
        return _new(ref, before, after or {}, text)
    if before.layers and not _own(before, here):
        return _patched(ref, before, here, after, text)
    path = here.source.file
    old = text(before.files[path])
    return path, _without(old, here) if after is None else _with(old, here, _spelled(before, after), ref)


def _spelled(files: Files, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where variables are filled in, what looks like one and is meant as it is has to be spelled otherwise."""
    return {key: literal(value) for key, value in document.items()} if files.layers else document


def _new(ref: Ref, before: Files, after: Mapping[str, Any], text: Text) -> tuple[str, bytes]:
    after = _spelled(before, after)
    path, raw = file_of(ref, before.root, before.files), as_yaml(after).encode()
    if path not in before.files:
        return path, raw
    # Somebody keeps other documents there.
    return path, spliced(text(before.files[path]), None, Written(path, "", 1, 0, 0, raw, digest_of(after)), ref)


def _with(old: bytes, here: Document, after: Mapping[str, Any], ref: Ref) -> bytes:
    source = here.source
    raw = rewritten(here.raw, here.value, after)
    if here.column == 0 and _alone(raw, here, old):
        return old[: source.start] + raw + old[source.end :]
    there = Written(source.file, source.blob, source.line, source.start, source.end, here.raw, digest_of(here.value))
    return spliced(old, there, replace(there, raw=raw, digest=digest_of(after)), ref)


def _alone(raw: bytes, here: Document, old: bytes) -> bool:
    """Whether these bytes can just stand where the document stands in `old`."""
    begun = here.column == 0 or raw.startswith((b"\n", b"\r"))
    return begun and MARKER.search(raw) is None and (here.source.end == len(old) or raw.endswith(b"\n"))


def _without(old: bytes, here: Document) -> bytes | None:
    """The file without this document; None where nothing else is in it."""
    start, end = here.source.start, here.source.end
    parts = [chunk for chunk in chunks(old) if not chunk.preamble]
    if len(parts) == 1:
        return None
    # The marker that begins it goes with it; the one that ends it begins the next.
    before = old[:start].removesuffix(b"---")
    result = before + old[end:]
    if [one.value for one in parse("", "", result).documents] != [
        one.value for one in parse("", "", old).documents if one.source.start != start
    ]:
        raise NotSpliced("the other documents of its file would not stay as they are")
    return result


def _patched(ref: Ref, before: Files, here: Document, after: Mapping[str, Any] | None, text: Text) -> tuple[str, bytes]:
    """One more patch in the environment's own layer: what others share stays as it is."""
    path = before.root + ENVIRONMENT
    target = {"kind": ref.kind, "name": ref.name}
    if ref.tenant != DEFAULT_TENANT:
        target["tenant"] = ref.tenant
    patch: dict[str, Any] = {"delete": True} if after is None else patch_between(here.value, after)
    old = text(before.files[path])
    return path, _folded(old, target, patch) or with_patch(old, {"target": target, **patch})


def _folded(text: bytes, target: Mapping[str, str], patch: Mapping[str, Any]) -> bytes | None:
    """The same in the patch that this resource has already, so that they do not pile up.

    None where there is none, or what comes between them may have a say.
    """
    environments = declared(parse("", "", text).documents)
    if len(environments) != 1 or "merge" not in patch:
        return None
    (here,) = environments
    spec = here.value.get("spec") or {}
    patches = list(spec.get("patches", []))
    place = len(patches) - 1
    while place >= 0 and patches[place].get("target") != target:
        if "name" not in patches[place].get("target", {}):
            return None
        place -= 1
    if place < 0 or not isinstance(patches[place].get("merge"), dict):
        return None
    both = _both(patches[place]["merge"], patch["merge"])
    if both is None:
        return None
    patches[place] = {**patches[place], "merge": both}
    raw = rewritten(here.raw, here.value, {**here.value, "spec": {**spec, "patches": patches}})
    return text[: here.source.start] + raw + text[here.source.end :]


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """One merge patch that does what two do, one after the other; None where none can."""
    result = dict(first)
    for key, value in second.items():
        if isinstance(value, dict) and key in result:
            one = result[key]
            value = _both(one, value) if isinstance(one, dict) else None
            if value is None:
                # It would be merged into what the first has taken away or replaced.
                return None
        result[key] = value
    return result


def _known(ref: Ref, before: Files, documents: Mapping[Ref, Document], parsed: Parsed) -> Mapping[Ref, Document]:
    """What the resources are made from now; only their file is read."""
    changes: dict[Ref, Document | None] = {ref: None}
    for one in parsed.documents:
        named = before.ref(one)
        if named is not None:
            changes[named] = one
    return laid(documents, changes)


def _unflawed(ref: Ref, now: Document | None, before: Document | None) -> None:
    """What is wrong with the document by itself is said at once. Raises Refused."""
    if now is None:
        return
    problems = check(now, ref.tenant, KINDS).problems
    if problems and before is not None:
        was = {problem.what for problem in check(before, ref.tenant, KINDS).problems}
        problems = tuple(one for one in problems if one.what not in was)
    if problems:
        raise Refused("invalid", str(problems[0]), problems[0].hint, tuple(map(str, problems)))
