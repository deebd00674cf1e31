"""Combination of any systems' predictions: label-free and learned, calibrated; in the pipeline and from files."""

"""Combination of any systems' predictions: label-free and learned, calibrated; in the pipeline and from files."""
