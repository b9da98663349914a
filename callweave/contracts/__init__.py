"""The contracts as files for people and programs outside: JSON Schemas, AsyncAPI, OpenAPI, data dictionary.

Everything is generated from `schemas`; docs/contracts holds the generated files, and a test keeps them equal.
"""
