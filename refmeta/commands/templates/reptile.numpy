def <<function>>(<<arguments>>):
    """The answer: theta after one outer step, (d,)."""
    theta, adapted = np.asarray(theta), np.asarray(adapted)
    # ==== YOUR CODE: your outer step instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====
