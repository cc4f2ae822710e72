"""Tells people and programs outside what happens: reads events, makes messages, and carries them until they have arrived."""

from reconciler.notify.courier import Courier
from reconciler.notify.outbound import NotTold
from reconciler.notify.ways import tell

__all__ = ["Courier", "NotTold", "tell"]
