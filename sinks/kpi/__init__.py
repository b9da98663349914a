"""The numbers of a contact centre: one list of definitions, from which the views, their columns and the docs are made."""
