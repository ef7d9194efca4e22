"""Where the chunks of a sweep are computed: this process, several, a cluster."""
