"""Published devices. Conductances in microsiemens, times in seconds; every number is the named paper's, or a published fit to its data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .device import Device
from .drift import PowerLaw
from .iv import Cubic
from .noise import Flicker, PerProduct, Polynomial, Saturating


def _clipped_log(slope: float, offset: float, low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda g: np.clip(slope * np.log(np.maximum(g, 1e-7)) + offset, low, high)


def _joined(edge: float, below: Callable[[np.ndarray], np.ndarray], *coefficients: float) -> Callable[[np.ndarray], np.ndarray]:
    """`below` for shares under the edge, a polynomial (lowest power first) above."""
    return lambda g: np.where(g < edge, below(g), np.polynomial.polynomial.polyval(g, coefficients))


_HERMES = "Khaddam-Aljameh et al., JSSC 2022; Vasilopoulos et al., TED 2023; Le Gallo et al., Nature Electronics 2023"
_HERMES_DOI = "10.1109/JSSC.2022.3140414, 10.1038/s41928-023-01010-1"
_HERMES_MEAN = _joined(0.0945, _clipped_log(-0.0387, -0.0182, 0.072, 0.13), 0.0736, -0.0126, -0.0436)

PRESETS = {
    d.name: d
    for d in (
        Device(
            name="pcm",
            paper="Nandakumar et al., ICECS 2019 (doped Ge2Sb2Te5 PCM, one million cells)",
            doi="10.1109/ICECS46596.2019.8964852",
            fit="polynomials and clipped logarithms; read noise is one number",
            g_max=25.0,
            programming=Polynomial((0.26348, 1.9650, -1.1731), 25.0),
            read=PerProduct(0.0175),
            drift=PowerLaw(_clipped_log(-0.0155, 0.0244, 0.049, 0.1), _clipped_log(-0.0125, -0.0059, 0.008, 0.045), 20.0),
            flicker=Flicker(lambda g: np.minimum(0.2, 0.0088 / np.maximum(1e-3, g**0.65)), 250e-9),
        ),
        Device(
            name="pcm-joshi",
            paper="Joshi et al., Nature Communications 2020 (fit of its programming data)",
            doi="10.1038/s41467-020-16108-9",
            fit="a parabola; neither reads nor drift",
            g_max=25.0,
            programming=Polynomial((0.28639, 0.07586 * 25, -0.0017877 * 25**2), 25.0),
        ),
        Device(
            name="hermes-1",
            paper=_HERMES + " (one PCM cell)",
            doi=_HERMES_DOI,
            fit="polynomials; no read noise",
            g_max=10.35,
            programming=Polynomial((0.15782, 2.32444, -2.16311, 0.68842), 10.35),
            drift=PowerLaw(_HERMES_MEAN, _joined(0.3039, _clipped_log(-0.0120, -0.0023, 0.0124, 0.04), 0.0104, 0.0116, -0.0165), 200.0),
            flicker=Flicker(_joined(0.1591, _clipped_log(-0.0078, 0.0038, 0.0179, 0.04), 0.0088, 0.0768, -0.1352, 0.0664), 512e-9),
        ),
        Device(
            name="hermes-2",
            paper=_HERMES + " (two PCM cells)",
            doi=_HERMES_DOI,
            fit="polynomials; no read noise",
            g_max=20.7,
            programming=Polynomial((0.16603, 4.71806, -8.48101, 4.68961), 20.7),
            drift=PowerLaw(_HERMES_MEAN, _joined(0.3055, _clipped_log(-0.0117, -0.0057, 0.0091, 0.04), 0.0073, 0.0093, -0.0118), 300.0),
            flicker=Flicker(_joined(0.16, _clipped_log(-0.0117, -0.0069, 0.015, 0.04), 0.0123, 0.0211, -0.0280, 0.0069), 512e-9),
        ),
        Device(
            name="reram-wan",
            paper="Wan et al., Nature 2022 (relaxation of HfOx ReRAM, one second after programming)",
            doi="10.1038/s41586-022-04992-8",
            fit="a polynomial of degree 4; no reads",
            g_max=40.0,
            programming=Polynomial((0.348, 16.030, -43.853, 45.393, -16.815), 40.0),
        ),
        Device(
            name="reram-wan-2days",
            paper="Wan et al., Nature 2022 (two days after programming)",
            doi="10.1038/s41586-022-04992-8",
            fit="a polynomial of degree 4; no reads, no law of time",
            g_max=40.0,
            programming=Polynomial((0.782, 20.274, -43.507, 37.062, -11.934), 40.0),
        ),
        Device(
            name="reram-milo",
            paper="Milo et al., IRPS 2021 (HfO2 ReRAM, programming and I-V)",
            doi="10.1109/IRPS46558.2021.9405119",
            fit="loose: a straight line through a figure's points from 50 to 225 uS",
            g_max=225.0,
            g_min=50.0,
            programming=Polynomial((4.7823, -0.009107 * 225), 225.0),
            iv=Cubic((7.063e-3, 5.711e-3, 1.541e-3, 1.388e-4), (1.2968e-3, 6.792e-4, 8.871e-5), 0.5, (50.0, 225.0)),
        ),
        Device(
            name="sonos",
            paper="Agrawal et al., IEDM 2022 (40 nm SONOS, as programmed; 1600 nA at 16 uS, so 100 nA are 1 uS)",
            doi="10.1109/IEDM45625.2022.10019564",
            fit="two parameters a curve",
            g_max=16.0,
            programming=Saturating(0.1988665, 1.763115, 16.0),
            read=Saturating(0.1258037, 2.1536557, 16.0),
        ),
        Device(
            name="sonos-5days",
            paper="Agrawal et al., IEDM 2022 (five days after programming, without the mean drift)",
            doi="10.1109/IEDM45625.2022.10019564",
            fit="two parameters a curve; no law of time",
            g_max=16.0,
            programming=Saturating(0.3457909, 2.0734309, 16.0),
            read=Saturating(0.1258037, 2.1536557, 16.0),
        ),
    )
}
"""Devices by name."""


def preset(name: str) -> Device:
    """A published device by name."""
    if name not in PRESETS:
        raise ValueError(f"device preset: {name!r}; known are {', '.join(PRESETS)}")
    return PRESETS[name]
