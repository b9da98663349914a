"""The door: authentication, bounds, normalization, and the promise that what was answered is stored."""
