def log_softmax(logits):
    """The logarithms of the softmax over the last axis."""
    shifted = logits - np.max(logits.real, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
