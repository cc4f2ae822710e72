"""Drivers, held to one contract and then each to its own promises."""
