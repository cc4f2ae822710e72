"""Plays the jobs of the template as the forges' runners do: its own files, in a clone of a real origin, step by step in bash.

Two things of a real run are replaced. The step that installs Convoy from the package index is left out, and this tree's Convoy
is on PATH instead. `actions/checkout`, which is GitHub's own program, is played as its inputs say: a clone of the origin at
`ref`, without credentials. (On Gitea and GitLab nothing else is: the first fetches itself, the second's runner has cloned.)
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.forge.conftest import TOKEN
from tests.forge.stand_in import StandIn
from tests.repos import Origin, git

TEMPLATE = Path(__file__).parents[2] / "fleet-repo-template"
FILES = {"github": ".github/workflows/fleet.yaml", "gitea": ".gitea/workflows/fleet.yaml", "gitlab": ".gitlab-ci.yml"}
# Only where it hangs: a run starts Convoy many times.
RUN_S = 600.0
INSTALLS = re.compile(r"\bpip install\b|-m venv\b")


@dataclass(frozen=True)
class Ran:
    exit_code: int
    log: str
    summary: str = ""


@dataclass
class Runner:
    """One forge's runner, and the pull request `feature` onto `main` of an origin."""

    kind: str
    forge: StandIn
    origin: Origin
    place: Path
    token: str = TOKEN
    secrets: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0

    def run(self, *, base: str, head: str) -> Ran:
        self.runs += 1
        git(self.origin.path, "update-ref", "refs/pull/7/head", head)
        work = self.place / f"run-{self.runs}"
        (work / "temp").mkdir(parents=True)
        (work / "gitconfig").write_text(f'[url "{self.origin.path}"]\n\tinsteadOf = {self.forge.address}/us/fleet.git\n')
        play = self.gitlab if self.kind == "gitlab" else self.actions
        return play(work, base, head)

    def common(self, work: Path) -> dict[str, str]:
        """What is on a runner whoever's it is; nothing of whoever runs the tests."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(work / "temp"),
            "GIT_CONFIG_GLOBAL": str(work / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LANG": "C.UTF-8",
            "CI": "true",
            **{name: os.environ[name] for name in ("ENVOY", "TMPDIR") if name in os.environ},
        }

    def actions(self, work: Path, base: str, head: str) -> Ran:
        """https://docs.github.com/actions/reference/workflows-and-actions/variables; Gitea's and Forgejo's set them too."""
        workflow = yaml.safe_load((TEMPLATE / FILES[self.kind]).read_text())
        (job,) = workflow["jobs"].values()
        # On GitHub a merge that only the forge has; nothing may rely on it.
        sha = "0" * 40 if self.kind == "github" else head
        (work / "summary").touch()
        (work / "path").touch()
        context = {
            "github.event.pull_request.number": "7",
            "github.event.pull_request.base.sha": base,
            "github.event.pull_request.head.sha": head,
            "github.token": self.token,
            "vars.CONVOY_URL": self.secrets.get("CONVOY_URL", ""),
            "vars.CONVOY_PLAINTEXT": "",
            "vars.CONVOY_FLEET": self.secrets.get("CONVOY_FLEET", ""),
            "secrets.CONVOY_TOKEN": self.secrets.get("CONVOY_TOKEN", ""),
        }
        environment = {
            **self.common(work),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.forge.api,
            "GITHUB_SERVER_URL": self.forge.address,
            "GITHUB_REPOSITORY": "us/fleet",
            "GITHUB_REF": "refs/pull/7/merge" if self.kind == "github" else "refs/pull/7/head",
            "GITHUB_BASE_REF": "main",
            "GITHUB_HEAD_REF": "feature",
            "GITHUB_SHA": sha,
            "GITHUB_RUN_ID": str(9_000 + self.runs),
            "GITHUB_RUN_NUMBER": str(self.runs),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_STEP_SUMMARY": str(work / "summary"),
            "GITHUB_PATH": str(work / "path"),
            "RUNNER_TEMP": str(work / "temp"),
            **({} if self.kind == "github" else {"GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}),
            **filled(workflow.get("env", {}), context),
            **filled(job.get("env", {}), context),
        }
        log = ""
        if self.kind == "gitea":
            (work / "checkout").mkdir()
        for step in job["steps"]:
            if "uses" in step:
                inputs = filled(step["with"], context)
                git(work, "clone", "-q", "--no-checkout", str(self.origin.path), "checkout")
                git(work / "checkout", "fetch", "-q", "origin", "refs/pull/7/head")
                git(work / "checkout", "checkout", "-q", "--detach", inputs["ref"])
                continue
            if INSTALLS.search(step["run"]):
                continue
            assert "${{" not in step["run"], "what others write would be pasted into a shell"
            ran = bash(step["run"], work / "checkout", environment | filled(step.get("env", {}), context))
            log += ran.log
            if ran.exit_code:
                return Ran(ran.exit_code, log, (work / "summary").read_text())
        return Ran(0, log, (work / "summary").read_text())

    def gitlab(self, work: Path, base: str, head: str) -> Ran:
        """https://docs.gitlab.com/ci/variables/predefined_variables/: in a pipeline of a merge request."""
        document = yaml.safe_load((TEMPLATE / FILES["gitlab"]).read_text())
        job = document["fleet"]
        git(work, "clone", "-q", "--no-checkout", str(self.origin.path), "checkout")
        git(work / "checkout", "fetch", "-q", "origin", "refs/pull/7/head")
        git(work / "checkout", "checkout", "-q", "--detach", head)
        environment = {
            **self.common(work),
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.forge.api,
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_PROJECT_ID": "41",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(self.origin.path, "merge-base", base, head),
            "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
            "CI_COMMIT_SHA": head,
            "CI_PIPELINE_IID": str(self.runs),
            "CI_JOB_ID": str(5_000 + self.runs),
            "CI_JOB_URL": f"https://gitlab.example/us/fleet/-/jobs/{5_000 + self.runs}",
            "CI_JOB_TOKEN": "a-job's-own",
            **{name: str(value) for name, value in {**document["variables"], **job["variables"]}.items()},
            # Project variables that are masked; a fork's pipeline has none of them.
            **({"GITLAB_TOKEN": self.token} if self.token else {}),
            **self.secrets,
        }
        lines = [line for line in job["script"] if not INSTALLS.search(line)]
        return bash("set -o pipefail\n" + "\n".join(lines), work / "checkout", environment)


def bash(script: str, directory: Path, environment: Mapping[str, str]) -> Ran:
    """As all three forges' runners do: bash that ends with the first command that fails."""
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=RUN_S,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"))


def filled(values: Mapping[str, Any], context: Mapping[str, str]) -> dict[str, str]:
    """`${{ … }}` is a name of the context here, and nothing else: no functions, no operators."""
    return {
        name: re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda found: context[found[1]], str(value)) for name, value in values.items()
    }
