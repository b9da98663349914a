"""Reconcile: asks TCCC's API what happened, and publishes it to the topics that pushes go to, marked `source=api`."""
