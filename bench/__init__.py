"""What is a time, a rate or a ratio: `make bench`. Both sides of a comparison run in one run: machines drift."""
