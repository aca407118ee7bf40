"""Exercise 8b: A learned rule whose step is longer than the gradient.

Meta-LSTM learns the rule of adaptation. For one parameter its step is

    theta_new = f theta - i g,    f = sigmoid(b_F),    i = sigmoid(b_I),
    sigmoid(x) = 1 / (1 + exp(-x)),

where g is the gradient of the loss at theta. (Here the gates f and i depend on
nothing but their biases.) Both gates lie between 0 and 1. So the rule seems to
make only steps that are shorter than the gradient: i |g| < |g|.

Show that this is wrong: choose theta, g (not 0), b_F and b_I such that
|theta_new - theta| is at least three times |g|. There are many right answers.

Read: derivations/meta-lstm.md, what the gates bound, and what they do not.
To grade this file: python -m refmeta exercise 8b 8b.py
"""

theta = ...
g = ...
b_F = ...
b_I = ...
