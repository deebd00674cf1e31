"""Extract, classify, verify: from a window to requests, from answers to spans."""
