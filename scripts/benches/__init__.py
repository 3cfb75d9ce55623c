"""Benches: one file a subject, found by file name; each has `run(quick) -> rows`."""
