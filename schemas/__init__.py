"""The contracts: what TCCC sends, what callweave publishes, and the one definition of every derived value."""
