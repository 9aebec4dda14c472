"""Checks that take longer than a test run may: crashes, load, large data. `make soak` runs them."""
