"""What the tests stand on: servers to run on, databases to use up, pgTAP. Never part of the package."""
