"""What which version of Envoy has refused: another version may take the very same content, and is not kept from it."""

from collections.abc import Collection, Mapping

from reconciler.core.model import Nack
from reconciler.store import Store


class Refusals:
    """Content version ⇒ an Envoy's words, by the version of that Envoy. What is in the store is read when it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by: dict[str, dict[str, str]] = {}
        self._any: dict[str, str] = {}

    def recall(self) -> None:
        """After a restart: what was refused before, so that it is not sent again."""
        self._any.update(self._store.refused())

    def learn(self, nack: Nack) -> None:
        """Remember what was refused here, if it is new."""
        known = self._of(nack.envoy)
        for version, name in zip(nack.versions, nack.names, strict=False):
            if version not in known:
                # First written, then known: what could not be written is heard again.
                self._store.refuse(version, nack.envoy, nack.type, name, nack.message, nack.at)
                known[version] = nack.message
                self._any.setdefault(version, nack.message)

    def by_any(self) -> Mapping[str, str]:
        """What some Envoy has refused."""
        return self._any

    def by_all(self, envoys: Collection[str]) -> Mapping[str, str]:
        """What every one of these has refused, so that nobody here would miss it."""
        first, *others = (self._of(envoy) for envoy in sorted(envoys))
        if not others:
            return first
        return {version: words for version, words in first.items() if all(version in one for one in others)}

    def words(self, version: str, envoys: Collection[str]) -> str:
        """What one of these says against this content; empty when none has refused it."""
        return next((words for one in sorted(envoys) if (words := self._of(one).get(version))), "")

    def _of(self, envoy: str) -> dict[str, str]:
        known = self._by.get(envoy)
        if known is None:
            known = self._by[envoy] = self._store.refused(envoy)
            self._any.update(known)
        return known
