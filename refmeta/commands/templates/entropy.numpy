<<include log_softmax>>
def loss(theta, X, labels, classes, ridge):
    """L of one task: the cross-entropy, and the ridge."""
    log_p = log_softmax(X @ theta.reshape(classes, -1).T)
    return -np.mean(log_p[np.arange(len(labels)), labels]) + ridge / 2 * theta @ theta
