"""The ECP5's phase-locked loop: a clock from the board's oscillator (Lattice FPGA-TN-02200, sysCLOCK)."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Instance, Module, Signal

MARGIN = 1.1
"""Ratio of the routed frequency to a bitstream's clock: place and route knows the slowest part, not the board's supply and noise."""
VCO = 400e6, 800e6
"""Least and greatest frequency of the loop's oscillator."""
LEAST_COMPARED = 3.125e6
"""Least frequency at the phase detector."""


class Pll(NamedTuple):
    """Divisors of a loop whose output is fed back; its own oscillator runs `output` times as fast."""

    oscillator: float
    reference: int
    feedback: int
    output: int

    @property
    def frequency(self) -> float:
        """Frequency of the output, in Hz."""
        return self.oscillator / self.reference * self.feedback

    def connect(self, m: Module, clk: Signal, out: Signal) -> Signal:
        """Make `out` from `clk`; return the signal that says that it is steady."""
        locked = Signal(name="locked")
        vco = self.frequency * self.output
        feedback = Signal(name="clk_feedback")
        m.submodules.pll = Instance(
            "EHXPLLL",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC",
            p_OUTDIVIDER_MUXD="DIVD",
            p_CLKOP_ENABLE="ENABLED",
            p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=self.reference,
            p_CLKFB_DIV=self.feedback,
            p_CLKOP_DIV=self.output,
            p_CLKOP_CPHASE=self.output // 2,
            p_CLKOP_FPHASE=0,
            a_FREQUENCY_PIN_CLKI=f"{self.oscillator / 1e6:g}",
            a_FREQUENCY_PIN_CLKOP=f"{self.frequency / 1e6:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            i_RST=0,
            i_STDBY=0,
            i_CLKI=clk,
            i_CLKFB=feedback,
            o_CLKOP=out,
            o_LOCK=locked,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=1,
            i_PHASESTEP=1,
            i_PHASELOADREG=1,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
        )
        assert VCO[0] <= vco <= VCO[1]
        m.d.comb += feedback.eq(out)
        return locked


def fastest(oscillator: float, limit: float) -> Pll | None:
    """Return the loop with the greatest frequency up to `limit` Hz; None where that is the oscillator's own."""
    found = [
        Pll(oscillator, reference, feedback, output)
        for reference in range(1, int(oscillator // LEAST_COMPARED) + 1)
        for feedback in range(1, 81)
        if (oscillator if oscillator <= limit else 0) < (made := oscillator / reference * feedback) <= limit
        for output in [min(int(VCO[1] // made), 128)]
        if VCO[0] <= made * output
    ]
    return max(found, key=lambda pll: (pll.frequency, -pll.reference), default=None)
