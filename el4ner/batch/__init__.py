"""Many documents: bounded flow, journal, resume, failures, run record, report."""
