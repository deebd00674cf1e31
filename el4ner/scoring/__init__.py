"""Scores of predictions against gold: counts, error breakdown, significance; pure functions."""
