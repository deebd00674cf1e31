"""Servers that members may stand behind: what is there, and how each kind is asked."""
