"""The pure half of Convoy: no I/O, no clock, no randomness, no environment."""
