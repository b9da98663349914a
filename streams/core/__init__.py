"""The pure core: reports to state to session document. No clock, no network, no engine."""
