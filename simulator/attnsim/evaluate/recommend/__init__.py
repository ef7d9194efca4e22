"""Which window, stride, dilation and tile shape of a neighborhood mask to use: the space, the search and its answer."""
