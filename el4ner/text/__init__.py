"""Documents, spans, alignment, windows and file formats: pure functions, no models."""
