"""What is asked of a sweep: the values of its fields, its filters, and how a point's number tells its settings."""
