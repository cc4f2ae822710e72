"""Adopting: what an Envoy runs already ⇒ documents of a fleet that say the same, and by name what they cannot say."""

from reconciler.core.adopt.carry import Adopted, Names, adopt
from reconciler.core.adopt.check import Verdict, check
from reconciler.core.adopt.inputs import LARGEST_INPUT, Input, read
from reconciler.core.adopt.ledger import Line

__all__ = ["LARGEST_INPUT", "Adopted", "Input", "Line", "Names", "Verdict", "adopt", "check", "read"]
