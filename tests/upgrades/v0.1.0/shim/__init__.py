"""One small supervisor per instance: it outlives Convoy, needs only the standard library, and imports nothing of Convoy."""
