"""The numbers of a contact centre: one list of definitions, of which views, columns and docs are made."""
