"""Matrices that stand for a Hessian.  Derivation: derivations/maml.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array

__all__ = ["MATRICES"]

Change = Callable[[Array], Array]  # (N, d, d) → (N, d, d)


def _spectral(change: Change) -> Change:
    """The Hessian with other eigenvalues."""

    def of(H: Array) -> Array:
        w, V = np.linalg.eigh((H + H.swapaxes(-1, -2)) / 2)
        return np.asarray(np.einsum("nij,nj,nkj->nik", V, change(w), V))

    return of


def _rows_for_columns(H: Array) -> Array:
    """VᵀΛV for VΛVᵀ."""
    w, V = np.linalg.eigh(H)
    return np.asarray(np.einsum("nji,nj,njk->nik", V, w, V))


def _one(H: Array) -> Array:
    """The identity."""
    return np.eye(H.shape[-1])


MATRICES: dict[str, Change] = {
    "without its negative eigenvalues": _spectral(lambda w: np.maximum(w, 0)),
    "its eigenvalues' sizes": _spectral(np.abs),
    "its largest eigenvalue only": _spectral(lambda w: w * (np.abs(w) == np.max(np.abs(w), axis=-1, keepdims=True))),
    "without its largest eigenvalue": _spectral(lambda w: w * (np.abs(w) < np.max(np.abs(w), axis=-1, keepdims=True))),
    "eigenvalues at most 1": _spectral(lambda w: np.minimum(w, 1)),
    "eigenvalues clipped to [-1, 1]": _spectral(lambda w: np.clip(w, -1, 1)),
    "eigenvalues' roots": _spectral(lambda w: np.sqrt(np.abs(w))),
    "eigenvectors in rows": _rows_for_columns,
    "its lower triangle": np.tril,
    "its upper triangle": np.triu,
    "without its diagonal": lambda H: H * (1 - _one(H)),
    "the sums of its rows": lambda H: _one(H) * np.sum(H, axis=-1, keepdims=True),
    "its mean eigenvalue": lambda H: _one(H) * np.trace(H, axis1=-2, axis2=-1)[:, None, None] / H.shape[-1],
    "its trace": lambda H: _one(H) * np.trace(H, axis1=-2, axis2=-1)[:, None, None],
    "its largest eigenvalue times the identity": lambda H: _one(H) * np.max(np.linalg.eigvalsh(H), axis=-1)[:, None, None],
    "the identity": lambda H: _one(H) + 0 * H,
    "the mean over the tasks": lambda H: np.mean(H, axis=0) + 0 * H,
    "the sum over the tasks": lambda H: np.sum(H, axis=0) + 0 * H,
    "that of the first task": lambda H: H[:1] + 0 * H,
    "that of the last task": lambda H: H[-1:] + 0 * H,
    "that of the next task": lambda H: np.roll(H, -1, axis=0),
    "its inverse": np.linalg.inv,
    "its square": lambda H: H @ H,
    "entry by entry positive": np.abs,
    "over the number of parameters": lambda H: H / H.shape[-1],
    "over the number of tasks": lambda H: H / len(H),
}
