"""Times kernels on this machine and writes what `validate` and `calibrate` read; needs PyTorch for everything on a GPU."""
