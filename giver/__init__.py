"""The giver: runs containers on its host and answers for what became of them."""
