def loss(theta, A, c, X, y):
    """L of one task: a quadratic where A and c are arrays, half the mean of the squared errors where X and y are."""
    if A is None:
        return np.mean((X @ theta - y) ** 2) / 2
    return (theta - c) @ A @ (theta - c) / 2
