"""Local stack, demo and production set-up."""
