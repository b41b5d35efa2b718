"""The channel: keeps every result and answers for them."""
