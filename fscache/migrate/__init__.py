"""From older layouts and foreign stores into a root, and back."""
