"""What the members say of candidates, and which of these become entities: pure functions."""

"""What the members say of candidates, and which of these become entities: pure functions."""
