"""Union, vote and verification decisions over what the members said: pure functions."""
