"""TCCC as it is documented to behave, from its own scenario to its own ledger. A stranger to the other rooms."""
