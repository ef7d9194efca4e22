"""The local explorer: questions from a browser on this machine, each answered from the library alone and remembered by nobody."""
