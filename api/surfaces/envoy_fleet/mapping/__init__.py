"""This dialect's JSON ⇔ documents: pure, a module for each group."""
