"""Enrichment, off by default: asks TCCC's API for what no CDR holds, and publishes each kind to a topic of its own.

It is a part of the reconcile role and takes its turns from the same limiter of a secret (ADR 0027).
"""
