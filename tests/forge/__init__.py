"""Forges: stand-ins of their APIs, built from their documentation, and what Convoy does with them."""
