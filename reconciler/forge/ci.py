"""What a job of CI is told about itself: which forge, repository, pull request and commit, and where people find the job.

https://docs.github.com/actions/reference/workflows-and-actions/variables, https://docs.gitlab.com/ci/variables/predefined_variables/,
https://docs.gitea.com/usage/actions/comparison, https://forgejo.org/docs/latest/user/actions/reference/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Name = Literal["github", "gitlab", "gitea"]


@dataclass(frozen=True, slots=True)
class Job:
    """Empty, or 0, where the environment does not say."""

    forge: Name | None = None
    api: str = ""
    repository: str = ""
    number: int = 0
    revision: str = ""
    token: str = ""
    # Orders the runs that write one comment.
    run: tuple[int, ...] = (0,)
    # Where people see the run.
    url: str = ""
    # A file whose Markdown is shown on the run's own page.
    summary: str = ""


def job(environment: Mapping[str, str]) -> Job:
    """Gitea and Forgejo speak of themselves in GitHub's words too: theirs are looked for first."""
    get = environment.get
    if get("GITLAB_CI"):
        return _gitlab(environment)
    if get("GITEA_ACTIONS") or get("FORGEJO_ACTIONS"):
        # Its runs are numbered in their addresses; pages of their own they have not.
        return _actions(environment, "gitea", "GITHUB_RUN_NUMBER", "", ("GITEA_TOKEN", "FORGEJO_TOKEN"))
    if get("GITHUB_ACTIONS"):
        # A run's number is its workflow's, and begins anew when the file is renamed; ids are a repository's, and rise as well.
        return _actions(environment, "github", "GITHUB_RUN_ID", get("GITHUB_STEP_SUMMARY", ""), ())
    return Job()


def _actions(environment: Mapping[str, str], forge: Name, by: str, summary: str, tokens: tuple[str, ...]) -> Job:
    """`by`: what runs are ordered and found by."""
    get = environment.get
    run = get(by, "")
    server, repository = get("GITHUB_SERVER_URL", ""), get("GITHUB_REPOSITORY", "")
    # GITHUB_REF is refs/pull/N/merge on GitHub, refs/pull/N/head on Gitea and Forgejo.
    found = re.fullmatch(r"refs/pull/(\d{1,12})/(?:merge|head)", get("GITHUB_REF", ""))
    return Job(
        forge,
        get("GITHUB_API_URL", ""),
        repository,
        int(found[1]) if found else 0,
        # GitHub's GITHUB_SHA is a merge that exists nowhere else: which commit a person pushed, the workflow has to say.
        "" if forge == "github" else get("GITHUB_SHA", ""),
        _first(environment, (*tokens, "GITHUB_TOKEN")),
        (_number(run), _number(get("GITHUB_RUN_ATTEMPT", ""))),
        f"{server}/{repository}/actions/runs/{run}" if server and repository and run else "",
        summary,
    )


def _gitlab(environment: Mapping[str, str]) -> Job:
    get = environment.get
    return Job(
        "gitlab",
        get("CI_API_V4_URL", ""),
        # The project the merge request goes to; a fork's pipeline runs in another.
        get("CI_MERGE_REQUEST_PROJECT_ID", ""),
        _number(get("CI_MERGE_REQUEST_IID", "")),
        # In a pipeline for merged results CI_COMMIT_SHA is the merge; the source's own is set then alone.
        get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "") or get("CI_COMMIT_SHA", ""),
        get("GITLAB_TOKEN", ""),
        # A retried job has a higher number than the one before it.
        (_number(get("CI_PIPELINE_IID", "")), _number(get("CI_JOB_ID", ""))),
        get("CI_JOB_URL", ""),
    )


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,15}", text) else 0
