"""`make demo`: one picture, computed in containers by three givers of which one lies."""
