"""Foreign mail programs that the tests talk to: fetched, unpacked and started here, never installed into the system."""
