"""Two answers side by side; `compare.compare` is `attnsim.compare`."""
