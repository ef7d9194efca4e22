"""What the user wrote: YAML with positions, quantities with units, frozen models, and the library of shipped files."""
