"""What all figures share: colours, pages, axes, and labels that never lie over one another."""
