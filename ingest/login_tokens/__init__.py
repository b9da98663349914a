"""Login tokens for TCCC's agent SDKs: a door of its own, never in the receiver's process: it holds the SecretKey."""
