"""Wire resistance of an array of linear cells, exactly, as one matrix.

Word line i (one an input) runs past the cells (i, 0), (i, 1), ...; bit line j (one an output) past (0, j), (1, j), .... Between
neighbouring cells lies one segment of wire, and one more between each line's terminal and its first (word line) or last (bit line)
cell. Inputs drive the word lines, each through the resistance of its driver; the bit lines end in virtual ground, each through that of the
circuit that senses. Kirchhoff's equations are linear, so currents are a matrix times voltages: the effective conductance.

It is found by elimination, one word line after the other. Let ``D = diag(g_i)`` be the cells of word line i, T the conductance matrix
of its wire and ``A = T + D``. Without its internal nodes the word line is, for the bit lines, a conductance ``S = D - D A^-1 D`` and the
current ``b = D A^-1 e_0 / (r_word + r_driver)`` per volt. All that lies above row i is a Norton equivalent (J, Y); through one more
segment of each bit line and with word line i added it is ``J <- [M J, b]``, ``Y <- M Y + S`` with ``M = (1 + r_bit Y)^-1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MEGOHM = 1e-6
"""Ohm in the unit whose product with microsiemens is 1."""


@dataclass(frozen=True)
class Wires:
    """Resistances between cells and the circuits around them, in ohm.

    Parameters
    ----------
    word, bit : float
        Of one segment of wire, along the word lines (inputs) and bit lines (outputs).
    sensing : str
        Where the transposed read drives and senses. ``same``: at the terminals of the forward read, roles exchanged; the transposed read
        is then exactly the transpose (reciprocity), if drivers and sense circuits are alike. ``opposite``: at the other ends of all lines.
    driver, sense : float
        Of the circuit that drives a line, and of the one that senses a line's current, whichever lines these are.
    leakage : float
        Conductance of a selector beside every cell, microsiemens.
    """

    word: float
    bit: float
    sensing: str = "same"
    driver: float = 0.0
    sense: float = 0.0
    leakage: float = 0.0

    def __post_init__(self) -> None:
        for name in ("word", "bit", "driver", "sense"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"wires: {name} = {getattr(self, name)}; resistances are finite and not negative (ohm)")
        if not 0 <= self.leakage < np.inf:
            raise ValueError(f"wires: leakage = {self.leakage}; a conductance is finite and not negative (microsiemens)")
        if self.sensing not in ("same", "opposite"):
            raise ValueError(f"wires: sensing = {self.sensing!r}; allowed are 'same', 'opposite'")

    @property
    def reciprocal(self) -> bool:
        """Return whether the transposed read is exactly the transpose."""
        return self.sensing == "same" and self.driver == self.sense


def effective_conductance(g: np.ndarray, word: float, bit: float, driver: float = 0.0, sense: float = 0.0) -> np.ndarray:
    """Currents of the bit lines per volt on each word line.

    Parameters
    ----------
    g : float array (inputs, outputs)
        Conductances of the cells, microsiemens.
    word, bit : float
        Resistance of a segment, ohm.
    driver, sense : float
        Resistance between a word line and its voltage, and between a bit line and virtual ground, ohm.

    Returns
    -------
    float64 array (inputs, outputs)
        Microsiemens.
    """
    g = np.asarray(g, np.float64)
    if g.ndim != 2:
        raise ValueError(f"wires: conductances of shape {g.shape}; expected (inputs, outputs)")
    if not (np.isfinite(g).all() and (g >= 0).all()):
        raise ValueError("wires: conductances must be finite and not negative (microsiemens); map signed weights on pairs of cells first")
    if g.shape[1] > g.shape[0]:  # reciprocity: the same network seen from the other side; work grows with outputs squared
        return effective_conductance(g[::-1, ::-1].T, bit, word, sense, driver).T[::-1, ::-1]
    return _eliminate(g, *(ohm * MEGOHM for ohm in (word, bit, driver, sense)))


def read(g: np.ndarray, wires: Wires, transposed: bool = False) -> np.ndarray:
    """Effective conductance (inputs, outputs) of a forward or a transposed read, microsiemens, its selectors included."""
    g = np.asarray(g) + wires.leakage
    if not transposed:
        return effective_conductance(g, wires.word, wires.bit, wires.driver, wires.sense)
    # by reciprocity: the network whose word lines end in what senses, and whose bit lines in what drives
    ends = slice(None, None, -1 if wires.sensing == "opposite" else 1)
    return effective_conductance(g[ends, ends], wires.word, wires.bit, wires.sense, wires.driver)[ends, ends]


def asymmetry(forward: np.ndarray, transposed: np.ndarray) -> float:
    """Largest difference of the two reads' effective matrices, relative to the largest entry."""
    return float(np.max(np.abs(forward - transposed)) / np.max(np.abs(forward)))


def _word_lines(g: np.ndarray, word: float, first: float) -> tuple[np.ndarray, np.ndarray]:
    """S and b of word lines: float64 (rows, n, n), filled up to the diagonal, and (rows, n); `first` lies before the first cell.

    Written with what the line conducts to ground on either side of a cell, which are sums of positive terms: nothing cancels,
    however large or small the resistance.
    """
    rows, n = g.shape
    left, right = np.empty_like(g), np.zeros_like(g)  # of cell j: through the segment on that side, to ground
    left[:, 0] = 1 / first
    for j in range(1, n):
        beyond = left[:, j - 1] + g[:, j - 1]
        left[:, j] = beyond / (1 + word * beyond)
    for j in range(n - 2, -1, -1):
        beyond = right[:, j + 1] + g[:, j + 1]
        right[:, j] = beyond / (1 + word * beyond)
    around = left + right
    own = g / (around + g)  # g_j A^-1[j, j]
    before = np.full(n, word)
    before[0] = first
    decay = 1 / (1 + before * (right + g))  # A^-1[j, k] / A^-1[j - 1, k] for k < j
    s = np.empty((n, rows, n))
    line = np.zeros((rows, n))
    for j in range(n):
        line[:, :j] *= decay[:, j, None]  # g_k A^-1[j, k]
        np.multiply(line[:, :j], -g[:, j, None], out=s[j, :, :j])
        s[j, :, j] = own[:, j] * around[:, j]
        line[:, j] = own[:, j]
    voltage = np.cumprod(decay, axis=1)  # of the line's nodes per volt at its terminal, with the bit lines at ground
    return s.swapaxes(0, 1), g * voltage


def _eliminate(g: np.ndarray, word: float, bit: float, driver: float, sense: float) -> np.ndarray:
    """Effective conductance; resistances in megohm."""
    m, n = g.shape
    first, last = word + driver, bit + sense
    one, y, j = np.eye(n), np.zeros((n, n)), np.zeros((n, m))
    lower = np.tri(n, dtype=bool)
    block = max(1, (1 << 22) // (n * n))  # word lines at once, within 32 MiB
    for start in range(0, m, block):
        rows = g[start : start + block]
        lines, b = _word_lines(rows, word, first) if first else (rows, rows)
        for i in range(start, start + len(rows)):
            if bit and i:
                through = _inverse(one + bit * y)
                y, j[:, :i] = through @ y, through @ j[:, :i]
            if first:
                s = lines[i - start]
                y = y + np.where(lower, s, s.T)
            else:
                y = y + np.diag(rows[i - start])
            j[:, i] = b[i - start]
    return (_inverse(one + last * y) @ j if last else j).T


def _inverse(a: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive definite matrix, by halves: mostly matrix products, which are faster than LAPACK at these sizes."""
    n = len(a)
    if n <= 48:
        return np.linalg.inv(a)
    h = n // 2
    first = _inverse(a[:h, :h])
    t = first @ a[:h, h:]
    second = _inverse(a[h:, h:] - a[h:, :h] @ t)
    off = t @ second
    out = np.empty_like(a)
    np.add(first, off @ t.T, out=out[:h, :h])
    np.negative(off, out=out[:h, h:])
    out[h:, :h] = out[:h, h:].T
    out[h:, h:] = second
    return out
