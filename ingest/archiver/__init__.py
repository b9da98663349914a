"""Recordings and voicemails before TCCC deletes them: fetched, checked, kept by their content (docs/archiver.md)."""
