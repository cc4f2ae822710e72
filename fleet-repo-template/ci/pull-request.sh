#!/bin/sh
# What CI does with a pull request: are the documents valid, would a real Envoy take what it would be told, and what would
# change. One comment on the pull request says so, and every push writes it anew.
#
# BASE is the commit that the pull request is compared with, HEAD the one that it proposes and that is checked out here.
set -eu

report=$(mktemp)
trap 'rm -f "$report"' EXIT

# What the directory $1 would change.
plan() {
    if [ -n "${CONVOY_URL:-}" ] && [ -n "${CONVOY_TOKEN:-}" ] && [ "$1" = "${CONVOY_FLEET:-.}" ]; then
        # Ask the Convoy that runs it: the plan is made against what that one sees on the hosts.
        git log -1 --format=%B "$HEAD" | convoy plan "$1" --against "$CONVOY_URL" --message-file - -o markdown
    else
        # What is declared otherwise than before; CI needs to reach nothing for it.
        convoy plan "$1" --from "$since" --to "$HEAD" -o markdown --limit 900000
    fi
}

# What the comment shows is for another commit from now on.
convoy comment --outdated --revision "$HEAD" || true

status=0
convoy validate --envoy -o markdown >"$report" || status=$?
if [ "$status" -eq 0 ]; then
    : >"$report"
    since=$(git merge-base "$BASE" "$HEAD") || since=$BASE
    # Each environment is a fleet of its own; without any, the whole repository is one.
    set -- environments/*/environment.yaml
    [ -e "$1" ] || set -- ./environment.yaml
    for fleet; do
        fleet=${fleet%/environment.yaml}
        # The name comes from the pull request: nothing in it is Markdown here.
        [ "$fleet" = . ] || printf '\n## `%s`\n\n' "$(printf %s "$fleet" | tr -cd 'A-Za-z0-9._/-')" >>"$report"
        plan "$fleet" >>"$report" || status=$?
    done
fi

# It shows as much as the forge takes; the run's own page or log has the rest.
convoy comment --revision "$HEAD" "$report"
exit "$status"
