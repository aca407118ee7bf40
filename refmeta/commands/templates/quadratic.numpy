def loss(theta, A, c):
    """L of one task."""
    return (theta - c) @ A @ (theta - c) / 2
