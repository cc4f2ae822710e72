"""The commands of `convoy`, by what a person is doing; each imports what is heavy only when it runs."""
