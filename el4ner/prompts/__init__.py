"""Versioned templates per language and style, and answer formats: rendered and parsed in one place."""
