"""The services under systemd: units, users, and what installs them."""
