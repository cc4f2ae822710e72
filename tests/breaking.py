"""Ways for a source to break or turn hostile, each with what it is to be called and how it is mended."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

from reconciler.git.bare import TIP
from reconciler.git.source import DEEPEST, LARGEST_FILE
from tests.repos import DIRECTORY, FILE, Origin, git

LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345\n"


@dataclass
class Place:
    """An origin, the mirror that Convoy keeps of it, and what was put aside to be brought back."""

    origin: Origin
    mirror: Path
    aside: Path
    kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Breaking:
    """`said` is a pattern in what is said about it."""

    name: str
    how: Callable[[Place], object]
    said: str
    mend: Callable[[Place], object] = lambda place: None


def away(place: Place) -> None:
    shutil.move(place.origin.path, place.aside)


def back(place: Place) -> None:
    shutil.rmtree(place.origin.path, ignore_errors=True)
    place.origin.path.unlink(missing_ok=True)
    shutil.move(place.aside, place.origin.path)


def copy_aside(place: Place) -> None:
    shutil.copytree(place.origin.path, place.aside)


def delete_branch(place: Place) -> None:
    place.kept["tip"] = place.origin.tip()
    git(place.origin.path, "update-ref", "-d", "refs/heads/main")


def make_branch_again(place: Place) -> None:
    git(place.origin.path, "update-ref", "refs/heads/main", place.kept["tip"])


def rename_branch(place: Place) -> None:
    git(place.origin.path, "branch", "-m", "main", "trunk")


def name_branch_back(place: Place) -> None:
    git(place.origin.path, "branch", "-m", "trunk", "main")


def a_file_in_its_place(place: Place) -> None:
    away(place)
    place.origin.path.write_text("not a repository")


def an_empty_directory_in_its_place(place: Place) -> None:
    away(place)
    place.origin.path.mkdir()


def an_empty_repository_in_its_place(place: Place) -> None:
    away(place)
    place.origin.path.mkdir()
    git(place.origin.path, "init", "-q", "--bare", "--initial-branch=main", ".")


def empty_ref(place: Place) -> None:
    """What a power cut leaves of a file that was being written."""
    copy_aside(place)
    (place.origin.path / "refs" / "heads" / "main").write_text("")


def ref_to_nothing(place: Place) -> None:
    copy_aside(place)
    (place.origin.path / "refs" / "heads" / "main").write_text("1" * 40 + "\n")


def ref_to_a_blob(place: Place) -> None:
    copy_aside(place)
    (place.origin.path / "refs" / "heads" / "main").write_text(place.origin.blob(b"x") + "\n")


def lose_new_objects(kind: str) -> Callable[[Place], None]:
    """A commit whose tree or file never arrived in the origin."""

    def how(place: Place) -> None:
        place.kept["tip"] = place.origin.tip()
        revision = place.origin.commit({"deep/er/new.yaml": "a: 1\n"})
        name = git(
            place.origin.path, "rev-parse", revision + {"commit": "", "tree": ":deep", "blob": ":deep/er/new.yaml"}[kind]
        )
        copy_aside(place)
        hide(place.origin.path, name)

    return how


def hide(repository: Path, name: str) -> None:
    """Take one object away, whether it lies alone or in a pack."""
    packs = [*(repository / "objects" / "pack").glob("*.pack")]
    for pack in packs:
        content = pack.read_bytes()
        for part in pack.parent.glob(pack.stem + ".*"):
            part.chmod(0o600)
            part.unlink()
        git(repository, "unpack-objects", "-q", stdin=content)
    there = repository / "objects" / name[:2] / name[2:]
    there.unlink()


def commit(files: dict[str, str | bytes | None] | None = None, **more: object) -> Callable[[Place], None]:
    return lambda place: place.kept.update(bad=place.origin.commit(files, **more))  # type: ignore[arg-type]


def entry(*entries: tuple[str, bytes, bytes]) -> Callable[[Place], None]:
    """A commit whose top tree also holds these, as no git would write them."""

    def how(place: Place) -> None:
        repository = pygit2.Repository(str(place.origin.path))
        tree = repository[place.origin.tip()].peel(pygit2.Tree)
        there = [("40000" if e.filemode == 0o40000 else FILE, (e.name or "").encode(), str(e.id)) for e in tree]
        below = place.origin.tree([(FILE, b"evil.yaml", place.origin.blob(b"evil: 1\n"))])
        made = [(mode, name, below if mode.endswith("40000") else place.origin.blob(data)) for mode, name, data in entries]
        place.origin.commit_tree([*there, *made], onto=place.origin.tip())

    return how


def deep(place: Place) -> None:
    odb = pygit2.Repository(str(place.origin.path)).odb
    level = place.origin.tree([(FILE, b"evil.yaml", place.origin.blob(b"evil: 1\n"))])
    for _ in range(3000):
        level = str(odb.write(pygit2.enums.ObjectType.TREE, b"40000 d\0" + bytes.fromhex(level)))
    under(place, level)


def bomb(place: Place) -> None:
    level = place.origin.tree([(FILE, f"{n}.yaml".encode(), place.origin.blob(b"evil: 1\n")) for n in range(10)])
    for _ in range(DEEPEST // 2):
        level = place.origin.tree([(DIRECTORY, f"d{n}".encode(), level) for n in range(10)])
    under(place, level)


def under(place: Place, tree: str) -> None:
    repository = pygit2.Repository(str(place.origin.path))
    there = [(FILE, (e.name or "").encode(), str(e.id)) for e in repository[place.origin.tip()].peel(pygit2.Tree)]
    place.origin.commit_tree([*there, (DIRECTORY, b"z", tree)], onto=place.origin.tip())


def damaged(what: Callable[[Path], None]) -> Callable[[Place], None]:
    """The mirror is damaged while the origin is out of reach, the worst of moments."""

    def how(place: Place) -> None:
        away(place)
        what(place.mirror)

    return how


def objects(mirror: Path) -> list[Path]:
    return [path for path in (mirror / "objects").rglob("*") if path.is_file()]


def packed(mirror: Path) -> list[Path]:
    git(mirror, "repack", "-q", "-a", "-d")
    return [*(mirror / "objects" / "pack").glob("*.pack")]


def truncate_packs(mirror: Path) -> None:
    for pack in packed(mirror):
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2])


def lose_indexes(mirror: Path) -> None:
    packed(mirror)
    for index in (mirror / "objects" / "pack").glob("*.idx"):
        index.unlink()


def empty_objects(mirror: Path) -> None:
    """What a power cut leaves of files that were being written."""
    for path in objects(mirror):
        path.chmod(0o600)
        path.write_bytes(b"")


def garble_objects(mirror: Path) -> None:
    for path in objects(mirror):
        path.chmod(0o600)
        path.write_bytes(b"garbage")


def lose_half(mirror: Path) -> None:
    for path in objects(mirror)[::2]:
        path.unlink()


def garble_ref(mirror: Path) -> None:
    (mirror / TIP).write_text("not a revision\n")


def lose_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def empty_config(mirror: Path) -> None:
    (mirror / "config").write_text("[core\n")


def nothing_left(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.mkdir()


BROKEN = (
    Breaking("gone", away, r"is not a Git repository", back),
    Breaking("a file", a_file_in_its_place, r"is not a Git repository", back),
    Breaking("an empty directory", an_empty_directory_in_its_place, r"is not a Git repository", back),
    Breaking("an empty repository", an_empty_repository_in_its_place, r"has no commits yet: commit something", back),
    Breaking("branch deleted", delete_branch, r"has no (commits yet|branch 'main')", make_branch_again),
    Breaking("branch renamed", rename_branch, r"has no branch 'main'; it has trunk", name_branch_back),
    Breaking("branch cut short", empty_ref, r"cannot read branch main of", back),
    Breaking("branch to nothing", ref_to_nothing, r"cannot read branch main of", back),
    Breaking("branch to a file", ref_to_a_blob, r"cannot read branch main of", back),
    Breaking("commit lost", lose_new_objects("commit"), r"cannot read branch main of", back),
    Breaking("tree lost", lose_new_objects("tree"), r"cannot read branch main of", back),
    Breaking("file lost", lose_new_objects("blob"), r"cannot read branch main of", back),
)
DAMAGE = (
    truncate_packs,
    lose_indexes,
    empty_objects,
    garble_objects,
    lose_half,
    garble_ref,
    lose_head,
    empty_config,
    nothing_left,
)
HOSTILE = (
    Breaking("submodule", commit({"b.yaml": "x"}, submodules=["vendor"]), r"vendor: is a submodule"),
    Breaking("pointer", commit({"b.yaml": LFS}), r"b.yaml: is a Git LFS pointer"),
    Breaking("every file a pointer", commit({"a.yaml": LFS}), r"a.yaml: is a Git LFS pointer"),
    Breaking("link out", commit(links={"a.yaml": "/etc/passwd"}), r"a.yaml: is a symbolic link out of the repository"),
    Breaking("link up", commit(links={"b": "../../elsewhere"}), r"b: is a symbolic link out of the repository"),
    Breaking("link to itself", commit(links={"a.yaml": "a.yaml"}), r"a.yaml: is a symbolic link"),
    Breaking("link into .git", commit(links={"c.yaml": ".git/config"}), r"c.yaml: is a symbolic link"),
    Breaking("the fleet is a link", commit({"a.yaml": None}, links={"fleet": "/srv"}), r"fleet: is a symbolic link out"),
    Breaking("huge", commit({"b.yaml": b"#" * (LARGEST_FILE + 1)}), r"b.yaml: is \d+ bytes long"),
    Breaking("case", commit({"A.yaml": "x: 1"}), r"differs from .* only in upper and lower case"),
    Breaking("dots", entry((DIRECTORY, b"..", b"")), r"'\.\.' is not the name of a file"),
    Breaking("slash", entry((FILE, b"../../x.yaml", b"x: 1")), r"is not the name of a file"),
    Breaking("control", entry((FILE, b"\x1b[2J.yaml", b"x: 1")), r"characters that cannot be seen"),
    Breaking("not UTF-8", entry((FILE, b"x\xc0\x80.yaml", b"x: 1")), r"is not UTF-8"),
    Breaking("long", entry((FILE, b"x" * 5000 + b".yaml", b"x: 1")), r"its name is 5005 bytes long; the most is 255"),
    Breaking("twice", entry((FILE, b"a.yaml", b"evil: 1")), r"a.yaml: is there twice"),
    Breaking("twice, a directory", entry((DIRECTORY, b"a.yaml", b"")), r"a.yaml: is there twice"),
    Breaking("old mode", entry(("040000", b"old", b"")), r"old/evil.yaml"),
    Breaking("other permissions", entry(("100600", b"odd.yaml", b"x: 1")), r"odd.yaml"),
    Breaking("no mode", entry(("0", b"odd.yaml", b"x: 1")), r"odd.yaml: is of no kind that git knows"),
    Breaking("deep", deep, r"is more than 64 directories deep"),
    Breaking("bomb", bomb, r"more than \d+ files and directories"),
)


def mended(place: Place, good: str) -> str:
    """What a person does about a bad commit: one on top of it with what was good."""
    repository = pygit2.Repository(str(place.origin.path))
    tree, person = repository[good].peel(pygit2.Tree).id, "A <a@b> 1800000000 +0000"
    text = f"tree {tree}\nparent {place.origin.tip()}\nauthor {person}\ncommitter {person}\n\nmend\n"
    made = repository.odb.write(pygit2.enums.ObjectType.COMMIT, text.encode())
    repository.references.create("refs/heads/main", made, force=True)
    return str(made)
