"""<<title>>

An adapter in NumPy for `python -m refmeta check`.  It lacks one thing, which goes into the part marked YOUR CODE.
"""

import numpy as np

<<about>>


<<pieces>>


<<command>>
