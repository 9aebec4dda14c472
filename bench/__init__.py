"""What is a time, a rate or a ratio: `make bench`. Numbers are compared side by side in one run, because machines
differ and drift."""
