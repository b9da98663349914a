"""The contracts as files for people and programs outside: JSON Schemas, AsyncAPI, data dictionary.

Everything is generated from `schemas`; docs/contracts holds the generated files, and a test keeps them equal.
"""
