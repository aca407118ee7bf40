"""The oracle: certified vectors, `check` for any implementation, and a diagnosis that names the mistake."""
