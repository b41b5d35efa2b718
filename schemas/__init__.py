"""The wire contract: every message, every name. Imports nothing else of this project."""
