#!/bin/sh
# What CI does with a pull request: are the documents valid, would a real Envoy take what it would be told, and what would
# change. One comment on the pull request says so, and every push writes it anew.
#
# BASE is the commit that the pull request is compared with, HEAD the one that it proposes and that is checked out here.
set -eu

report=$(mktemp)
trap 'rm -f "$report"' EXIT

# What the comment shows is for another commit from now on.
convoy comment --outdated --revision "$HEAD" || true

status=0
convoy validate --envoy -o markdown >"$report" || status=$?
if [ "$status" -eq 0 ]; then
    if [ -n "${CONVOY_URL:-}" ] && [ -n "${CONVOY_TOKEN:-}" ]; then
        # Ask the Convoy that runs the fleet: the plan is made against what it sees on the hosts.
        git log -1 --format=%B "$HEAD" |
            convoy plan --against "$CONVOY_URL" --message-file - -o markdown >"$report" || status=$?
    else
        # Without one: what the pull request changes in what is declared.
        since=$(git merge-base "$BASE" "$HEAD") || since=$BASE
        convoy plan --from "$since" --to "$HEAD" -o markdown --limit 900000 >"$report" || status=$?
    fi
fi

# It shows as much as the forge takes; the run's own page or log has the rest.
convoy comment --revision "$HEAD" "$report"
exit "$status"
