"""Prediction files of any systems: reading them side by side, and writing what they say together."""
