"""Checks of inbound webhooks: whether anything has come by each, and whether it counts."""

from collections.abc import Iterator

from reconciler.core.show_doctor import Finding
from reconciler.core.show_holds import ago
from reconciler.core.show_problems import count
from reconciler.doctor.ground import Ground, Nothing

# A forge that is told a URL sends something at once, by itself or because somebody presses its button.
SOON_S = 600.0


def webhooks(ground: Ground) -> Iterator[Finding]:
    kept = ground.kept()
    if kept is None or not kept.hooks:
        raise Nothing("there are none")
    now = ground.seams.now()
    for hook in kept.hooks:
        heard = kept.heard.get(hook.id)
        last = heard.last[-1] if heard is not None and heard.last else None
        if last is None:
            if now - hook.at > SOON_S:
                hint = f"see its deliveries at the forge; `convoy hook revoke {hook.name}` if nobody uses it"
                yield Finding("warn", f"nothing has ever been delivered to hook {hook.name} ({hook.provider})", hint)
        elif last.verdict == "refused":
            hint = f"`convoy hook list {hook.name}` shows what came; where the secret was lost, revoke it and make another"
            yield Finding(
                "warn", f"the last delivery to hook {hook.name}, {ago(now - last.at)} ago, was refused: {last.why}", hint
            )
        elif heard is not None and not heard.counts.get("woken") and last.verdict == "elsewhere":
            hint = (
                "see what the forge calls the repository, and make the hook with --repository; or see which branch is followed"
            )
            yield Finding("warn", f"no delivery to hook {hook.name} was about what is followed here", hint)
    yield Finding("ok", count(len(kept.hooks), "hook"))
