"""What runs when: Chrome traces, waves of CTAs, epochs of PE arrays, stages of deployments."""
