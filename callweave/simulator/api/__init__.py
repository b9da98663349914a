"""TCCC's API (ccc, 2020-02-10) as documented, for the real SDK to talk to; fed from a ledger of `simulate`."""
