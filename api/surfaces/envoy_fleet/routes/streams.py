"""What happens, over a WebSocket (section 16)."""

import contextlib
from collections.abc import Callable

from flask import Response, request

from api.events import Events, Full
from api.limits import TooMany
from api.people import Account
from api.surfaces.envoy_fleet import wire
from api.surfaces.envoy_fleet.happenings import Happenings
from api.surfaces.envoy_fleet.operations import Operations
from api.surfaces.envoy_fleet.streams import Listener
from api.websocket import NotUpgraded, Stream, Upgrade, upgrade

# When another may have left.
AGAIN_S = 30


def add(served: Operations) -> None:
    reach = served.reach
    events = Events(reach.store, Happenings(reach.store).told, reach.log)

    @served.stream("ws.connect")
    def connect(account: Account, again: Callable[[], Account]) -> Response:
        try:
            headers = upgrade(request.environ)
        except NotUpgraded as why:
            result = wire.error(why.status, str(why))
            result.headers.update(why.headers)
            return result
        listener = Listener(events, reach, account, again, request.environ.get("convoy.id", ""))
        stream = Stream(request.environ["gunicorn.socket"], listener, reach.ending)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(events.listening(account.id, stream.wake))
            except Full as why:
                raise TooMany(str(why), AGAIN_S, own=why.own) from None
            return Upgrade(headers, stream, held.pop_all())
