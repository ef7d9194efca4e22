"""Points of a sweep answered: one by one, or those that differ in numbers alone all at once."""
