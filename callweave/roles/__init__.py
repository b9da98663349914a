"""Wiring: each role built from the settings. One module a role, so that a process loads only what it runs."""
