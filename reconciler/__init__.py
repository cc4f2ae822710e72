"""Convoy's control plane: what is wanted (Git), what is seen (hosts, Envoys), and the loop that makes them one."""
