"""Seeded faults, to see that the checks notice them: in the hardware, and in what both twins share.

A fault is a substitution in the source of one module, which must apply exactly once. While one in the hardware is in, every
hardware module is a fresh copy, so that all components are built with it. One in the recipe is put into the functions that are there,
so that both twins have it and no comparison of the two can tell.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import CodeType, ModuleType

HARDWARE = __package__.rpartition(".")[0] + ".hdl"
RECIPE = __package__.rpartition(".")[0] + ".recipe"


@dataclass(frozen=True)
class Fault:
    """A wrong piece of hardware, or of the recipe.

    Parameters
    ----------
    name : str
    module : str
        Module, as ``fixed``.
    right, wrong : str
        Source text and what replaces it.
    block : str
        Who is expected to notice: scenarios, a module of `sim` with them; of a fault in the recipe, a law, a test's name.
    """

    name: str
    module: str
    right: str
    wrong: str
    block: str


FAULTS = (
    Fault("nearest rounds down", "fixed", "return floor + half\n", "return floor\n", "fixed"),
    Fault("nearest even ties up", "fixed", "(half & (floor[0] | rest))", "half", "fixed"),
    Fault("stochastic ignores the random word", "fixed", "+ random[RANDOM_BITS - m:])", "+ 0)", "fixed"),
    Fault("stochastic drops the word's last bit", "fixed", "+ random[RANDOM_BITS - m:])", "+ (random[RANDOM_BITS - m:] & -2))", "fixed"),
    Fault("stuck at the limit, too", "crossbar", "i % VIEWS) < r.stuck_limit", "i % VIEWS) <= r.stuck_limit", "crossbar"),
    Fault("generators of one lane group in all", "crossbar", "Cat(Const(group, clog2(groups)), word)[:INDEX_BITS]",
          "Cat(Const(0, clog2(groups)), word)[:INDEX_BITS]", "crossbar"),
    Fault("lanes beyond the last column are as they are", "crossbar", "return Mux(last_fold & beyond, 0, value)", "return value",
          "memories"),
    Fault("a bias in every fold", "crossbar", "Mux(last_fold & biased, Const", "Mux(biased, Const", "crossbar"),
    Fault("a bias beside its column", "crossbar", "lane == g.D - (g.F", "lane == g.D - 1 - (g.F", "crossbar"),
    Fault("cycles of 32 bits", "chip", "self.cycles.eq(self.cycles + 1)", "self.cycles.eq((self.cycles + 1)[:32])", "counters"),
    Fault("steps of 16 bits", "chip", "self.step.eq(self.step + training)", "self.step.eq((self.step + training)[:16])", "counters"),
    Fault("range events of 16 bits", "chip", "counted.eq(counted + events)", "counted.eq((counted + events)[:16])", "counters"),
    Fault("runs of 16 bits", "chip", "run = Signal(32)", "run = Signal(16)", "counters"),
    Fault("saturation dropped", "fixed", 'if overflow == "wrap":', "if True:", "fixed"),
    Fault("wrong round constant", "rng", "0x9E3779B9", "0x9E3779B1", "rng"),
    Fault("rotation off by one", "rng", "y.rotate_left(3)", "y.rotate_left(4)", "rng"),
    Fault("feedback with the wrong sign", "neuron", "_times(self.a, 2) - _times(self.b, two_alpha)",
          "_times(self.a, 2) + _times(self.b, two_alpha)", "neuron"),
    Fault("a hinge the other way", "nudge", "error[-1] == label", "error[-1] != label", "nudge"),
    Fault("target swapped", "nudge", "r.target(True), r.target(False)", "r.target(False), r.target(True)", "nudge"),
    Fault("guard missing", "update", "low + guard", "low", "update"),
    Fault("a gate open at its lower limit", "neuron", "(a > low // 2 if", "(a >= low // 2 if", "neuron"),
    Fault("a gate of the neuron before", "neuron", "a, gated = delayed(m, self.a, 1)", "a, gated = delayed(m, self.a, 2)", "neuron"),
    Fault("signs of feedback swapped", "crossbar", "Mux(minus, down, up)", "Mux(minus, up, down)", "crossbar"),
    Fault("feedback in LSBs of the engine's first format", "crossbar", "sign * g.recipe.feedback_level",
          "sign * self._table.views[0].feedback_level", "crossbar"),
    Fault("levels of another format", "crossbar", "g.recipe.hidden_bits == hidden", "True", "crossbar"),
    Fault("updates of fine weights beside the grid", "crossbar", "value.shift_left(finer)", "value", "crossbar"),
    Fault("sums of coarse weights beside the grid", "engine", "exact.shift_left(finer)", "exact", "engine"),
    Fault("limits of the first format", "update", "limited(v, other.formats.weight.width", "limited(v, self._views[0].formats.weight.width",
          "update"),
    Fault("feedback as the updates' rounding", "crossbar", 'pairs_of("feedback", 0xA0)', 'pairs_of("feedback", 0)', "crossbar"),
    Fault("signs in every read", "crossbar", "g.matrix.source == kind, 1", "True, 1", "crossbar"),
    Fault("last row skipped", "crossbar", "row == self._of(number, lambda g, s: g.R - 1, len(row))\n        first_fold",
          "row == self._of(number, lambda g, s: max(g.R - 2, 0), len(row))\n        first_fold", "crossbar"),
    Fault("sum not cleared between rows", "crossbar", "Mux(first_fold_at[4 + lv], 0, self.sum)", "self.sum", "crossbar"),
    Fault("wrong lane's rounding word", "crossbar", "i % VIEWS), 1)", "(i + 1) % VIEWS), 1)", "crossbar"),
    Fault("transposed row not shifted", "crossbar", "waiting[i].eq(Mux(ends, columns[i + 1], waiting[i + 1]))",
          "waiting[i].eq(Mux(ends, columns[i], waiting[i + 1]))", "crossbar"),
    Fault("every matrix at the first address", "crossbar", "delayed(m, address + base, 1)", "delayed(m, address, 1)", "crossbar"),
    Fault("columns of the first slot", "crossbar",
          "memory.stores.index(getattr(s, memory.port)), len(stream.slot),", "0, len(stream.slot),",
          "crossbar"),
    Fault("reads from the bank that is written", "crossbar", "slot = self.bank\n", "slot = ~self.bank\n", "crossbar"),
    Fault("states as rows not aligned", "crossbar", "value.shift_left(r.align)", "value", "crossbar"),
    Fault("updates that should subtract add", "crossbar", " ^ opposite.replicate(len(value))).as_signed() + opposite", ").as_signed()",
          "crossbar"),
    Fault("what updates subtract is one short", "crossbar", ".as_signed() + opposite", ".as_signed()", "crossbar"),
    Fault("gain ignored", "crossbar", "value.shift_left(gain), lambda s", "value, lambda s", "crossbar"),
    Fault("opposite signs of shaken rows", "crossbar",
          "negative(signs.x, signs.y, 0), opposite", "~negative(signs.x, signs.y, 0), opposite",
          "crossbar"),
    Fault("what is coming named by the walk", "crossbar", "Mux(draining, number_fold, number_row)", "Mux(draining, number, number_row)",
          "crossbar"),
    Fault("elements go on counting", "crossbar", "index.eq(Mux(index == last, 0, index + 1))", "index.eq(index + 1)", "crossbar"),
    Fault("drains as long as the lanes", "crossbar", "lanes = Mux(last_fold, self._of", "lanes = Mux(Const(0), self._of", "crossbar"),
    Fault("odd lanes: one too many", "elements", "last = here_lane == lanes - 1", "last = here_lane == lanes", "crossbar"),
    Fault("weights of another decay", "update", "finer - d)) if d else 0", "finer - d + 1)) if d else 0", "update"),
    Fault("probes decay", "update", "Mux(self.probe, 0, chosen)", "chosen", "update"),
    Fault("a random word late", "engine", "Cat(words[1:]), 2)", "Cat(words[1:]), 3)", "engine"),
    Fault("differences converted as states", "engine", "getattr(f, place).frac - f.accumulator.frac", "f.state.frac - f.accumulator.frac",
          "engine"),
    Fault("neurons shaken one way", "engine", "Mux(negative(drawn.x, drawn.y, 0), down, up)", "up", "engine"),
    Fault("added in place of taken", "unit", "Mux(negative, recalled - y, recalled + y)", "recalled + y", "unit"),
    Fault("one entry's error for all", "unit", "errors.index(e.error), len(dyad.error)", "0, len(dyad.error)", "unit"),
    Fault("taken in place of added", "unit", "Mux(negative, recalled - y, recalled + y)", "recalled - y", "unit"),
    Fault("sums with a drive wrap", "unit",
          "return limited(value, wide, r.overflow.accumulator)", 'return limited(value, wide, "wrap")', "unit"),
    Fault("drives always kept", "unit", "element.valid & self._is(element.number, lambda e: e.keep_drive)", "element.valid", "unit"),
    Fault("feedback to every element", "unit", "Mux(beside, recalled, a), Mux(beside, self",
          "Mux(beside, recalled, a), Mux(Const(1), self", "unit"),
    Fault("nudge's feedback a cycle late", "unit", "b = Mux(push, nudge.b, b)", "b = Mux(push, delayed(m, nudge.b, 1), b)", "unit"),
    Fault("a force on every drive", "unit",
          'Mux(driven, delayed(m, pushed, 1), a), Mux(driven', "delayed(m, pushed, 1), Mux(driven", "unit"),
    Fault("clamped to the other target", "unit", "delayed(m, target, 4), on, off)", "delayed(m, target, 4), off, on)", "unit"),
    Fault("nudges of one sign", "unit", "lambda e: e.negative, 1, lambda e: e.force)", "lambda e: False, 1)", "unit"),
    Fault("loss of the last row lost", "unit", "Mux(here.index == 0, 0, self.loss)", "Mux(here.index <= 1, 0, self.loss)", "unit"),
    Fault("loss not subtracted", "unit", "self.loss.eq(self.loss - square.product)", "self.loss.eq(self.loss + square.product)", "unit"),
    Fault("moved by half", "neuron", "(u_minus + apart).shift_left(1)", "(u_minus.shift_left(1) + apart)", "neuron"),
    Fault("moved from the other compartment", "neuron", "(u_minus + apart).shift_left(1)", "(u_plus + apart).shift_left(1)", "neuron"),
    Fault("means always moved", "unit", "dyad.moved.eq(self._of(element.number, lambda e: e.moved, 1",
          "dyad.moved.eq(self._of(element.number, lambda e: True, 1",
          "unit"),
    Fault("relaxes at one pace", "unit", "e.leak == leak, 1, lambda e: e.enter", "False, 1, lambda e: e.enter", "unit"),
    Fault("feedback relaxes from nothing", "unit", "nearer = (fed + (way >> leaks[0]))", "nearer = (way >> leaks[0])", "unit"),
    Fault("feedback always kept", "unit", "element.valid & self._is(element.number, lambda e: e.keep_feedback)", "element.valid", "unit"),
    Fault("feedback kept of the drive", "unit", "e.keep_feedback)), kept.eq(b)", "e.keep_feedback)), kept.eq(a)", "unit"),
    Fault("drives taken for a feedback's", "unit", "Mux(relaxes, delayed(m, recalled, 1), late_a)", "late_a", "unit"),
    Fault("noise of each word", "crossbar", '0xE0, its_step, fold)', '0xE0, its_step, address)', "crossbar"),
    Fault("noise of updates alone", "crossbar", "b = Mux(choose(number_at[2], noisy, 1), shown, b)",
          "b = Mux(choose(number_at[2], noisy, 1) & rewriting, shown, b)", "crossbar"),
    Fault("noise beyond the last column", "crossbar", "shown = Mux(last_fold_at[2] & beyond(i, number_at[2]), 0, shown)\n", "pass\n",
          "crossbar"),
    Fault("opposite noise", "crossbar", "i % VIEWS), minus, plus)", "i % VIEWS), plus, minus)", "crossbar"),
    Fault("one kind of error for all", "neuron", "Mux(error == n, given[name], apart)", "Mux(error == 1, given[name], apart)", "neuron"),
    Fault("the first operation for all", "choose", "for v in values)[number]", "for v in values)[0]", "unit"),
    Fault("stores of the first slot", "chip",
          "store.slot.eq(choose(unit.out_number, slots, len(store.slot)))", "store.slot.eq(0)", "wiring"),
    Fault("elements without their number", "chip", "unit.index.eq(engine.sum_index)", "unit.index.eq(0)", "wiring"),
    Fault("matrices loaded over each other", "chip",
          "address = walk.address + choose(walk.matrix, base)", "address = walk.address", "wiring"),
    Fault("an operation of another number", "sequencer", "self.number.eq(fetched.number)", "self.number.eq(0)", "sequencer"),
    Fault("one turn for all samples", "sequencer", "Array(turns)[fetched.stage]", "self.turn", "overlap"),
    Fault("operations of no sample", "sequencer", "Mux(Array(here)[fetched.stage], 1 <<", "Mux(here.any(), 1 <<", "overlap"),
    Fault("the next sample a cycle late", "sequencer", "trains & (now == train.interval - 2)", "trains & (now == train.interval - 1)",
          "overlap"),
    Fault("the sample before ends early", "sequencer", "now == (residue - 1) % train.period", "now == (residue - 2) % train.period",
          "overlap"),
    Fault("the other bank free too early", "sequencer", "now == FREE - 2", "now == FREE - 4", "overlap"),
    Fault("at rest while one runs", "sequencer", "self.rest.eq(~others.any())", "self.rest.eq(1)", "overlap"),
    Fault("inference follows at the interval", "chip", "sequencer.again & command_full & train & ready",
          "sequencer.again & command_full & ready", "overlap"),
    Fault("a sample that follows needs no label", "chip", "& train & ready & label_full)", "& train & ready)", "overlap"),
    Fault("the number of the sample before", "chip", "Mux(sequencer.busy, number + 1, count)", "count", "overlap"),
    Fault("the newest sample's number for all", "crossbar", "return (level - (turn - number[:len(turn)])[:len(turn)])[:len(level)]",
          "return level", "overlap"),
    Fault("the label of another sample", "unit", "self.labels[e.turn])", "self.labels[e.turn - 1])", "overlap"),
    Fault("the drives of another sample", "unit", "reads.addr.eq(Cat(self.index, read))", "reads.addr.eq(Cat(self.index, read + 1))",
          "stale"),
    Fault("elements with the other sample's step", "engine", "delayed(m, crossbar.coming_number, wait))",
          "~delayed(m, crossbar.coming_number, wait))", "overlap"),
    Fault("stale bank", "chip", "turn.eq(turn + 1), training", "turn.eq(turn), training", "chip"),
    Fault("step counts inference", "chip", "self.step + training", "self.step + 1", "chip"),
    Fault("result queue takes one sample too many", "chip", "level_next <= self._few", "level_next <= self._few + 1", "chip"),
    Fault("label not used up", "chip", "m.d.sync += label_full.eq(0)", "pass", "chip"),
    Fault("cycle counter starts late", "chip", "self.cycles.eq(self.cycles + 1)", "self.cycles.eq(self.cycles + sequencer.busy"
          " - sequencer.finish)", "chip"),
)


SHARED = (
    Fault("slope at twice the rate", "derived", "frac + 2 + log2_exact(self.epsilon)", "frac + 1 + log2_exact(self.epsilon)",
          "spsa_moves"),
    Fault("slope without the probe", "derived", "+ 2 + log2_exact(self.epsilon) - f.weight.frac", "+ 2 - f.weight.frac", "spsa_moves"),
    Fault("slope without the rate's floor", "derived", "f.weight.frac - log2_exact(self.rate_floor) - self.update_shift",
          "f.weight.frac - self.update_shift", "spsa_moves"),
    Fault("probe half as large", "derived", "round(self.epsilon * 2.0**self.formats.weight.frac)",
          "round(self.epsilon * 2.0**self.formats.weight.frac) // 2", "spsa_moves"),
    Fault("updates without beta", "derived", "f.weight.frac + log2_exact(self.beta) - log2_exact", "f.weight.frac - log2_exact",
          "a_weight_moves"),
    Fault("updates forget a fraction", "derived", "return f.delta.frac + f.state.frac - f", "return 2 * f.state.frac - f",
          "a_weight_moves"),
    Fault("first rate off by one", "derived", "return log2_exact(self.learning_rate) - log2_exact(self.rate_floor)",
          "return log2_exact(self.learning_rate) - log2_exact(self.rate_floor) - 1", "a_weight_moves"),
    Fault("nudge by the inverse of beta", "derived", "return -log2_exact(self.beta)", "return log2_exact(self.beta)",
          "errors_of_the_last"),
    Fault("alpha half as large", "derived", "round(2 * self.alpha)", "round(self.alpha)", "errors_of_the_last"),
    Fault("no guard", "derived", "return self.probe if self.signed else 0", "return 0", "probes_find_room"),
    Fault("guard twice as wide", "derived", "return self.probe if self.signed else 0",
          "return 2 * self.probe if self.signed else 0", "probes_find_room"),
    Fault("a bias that meets a half", "derived", "1 << max(self.formats.state.frac, 0)", "1 << max(self.formats.state.frac - 1, 0)",
          "biases_meet_one"),
    Fault("noise a tenth stronger", "derived", "* 256 / NOISE", "* 282 / NOISE", "read_noise"),
    Fault("noise in units of states", "derived", "self.formats.weight.frac + getattr(self.formats, place).frac",
          "self.formats.weight.frac + self.formats.state.frac", "read_noise"),
    Fault("a level too many", "derived", "self.formats.weight.width - log2_exact(self.devices.levels) if",
          "self.formats.weight.width - log2_exact(self.devices.levels) - 1 if", "cells_have"),
    Fault("pulses twice as large", "derived", "return log2_exact(self.pulses.step) + self",
          "return 1 + log2_exact(self.pulses.step) + self", "pulses_have"),
    Fault("counts of pulses not scaled", "derived", "return self.update_shift + self.pulse_bits", "return self.update_shift",
          "pulses_have"),
    Fault("law of twice the slope", "derived", '{"linear": -log2_exact(self.pulses.slope)',
          '{"linear": -log2_exact(self.pulses.slope) - 1', "pulses_have"),
    Fault("soft bounds beyond the end", "derived", '"soft-bounds": 0}', '"soft-bounds": 1}', "pulses_have"),
    Fault("half the stuck cells", "derived", "round(self.devices.stuck * 65536)", "round(self.devices.stuck * 32768)",
          "the_stated_share"),
    Fault("a stuck cell too few", "derived", "round(self.devices.stuck * 65536)", "min(65535, round(self.devices.stuck * 65536))",
          "every_cell"),
    Fault("the hidden layers' activation in the last", "derived", "name = self.formats.state, self.output if layer == self.layers - 1 else",
          "name = self.formats.state,", "outputs_are"),
    Fault("activations of twice the value", "activations", "math.ceil(2 * grid * of", "math.ceil(4 * grid * of", "outputs_are"),
    Fault("knots in whole LSBs", "activations", "min(max(2 * k, -REACH), REACH)", "min(max(k, -REACH), REACH)", "outputs_are"),
    Fault("a knot is lost", "activations", "for k in of.knots]", "for k in (of.knots[0], *of.knots[2:], of.knots[-1])]",
          "outputs_are"),
    Fault("limits not within the state format", "activations", "of.drive(Fraction(low)) if", "of.drive(Fraction(2 * low)) if",
          "limits_are"),
    Fault("targets rounded down", "derived", "int(half_up(value * 2.0**self.formats.accumulator.frac))",
          "math.floor(value * 2.0**self.formats.accumulator.frac)", "targets_are"),
    Fault("targets swapped", "derived", "self.target_on if on else self.target_off", "self.target_off if on else self.target_on",
          "errors_of"),
    Fault("operand without room for the rate", "derived", "operand += 7 + max", "operand += 6 + max", "widths_hold"),
    Fault("operand without room for a probe", "derived", "(2 * self.probe << self.update_shift).bit_length() + 1",
          "(self.probe << self.update_shift).bit_length()", "widths_hold"),
    Fault("products without headroom", "derived", "else max(widths) + 1", "else max(widths) - 1", "widths_hold"),
    Fault("products of coarse updates in a narrow type", "derived", "64 if self.product_shift < 0 else", "64 if False else",
          "coarse_products"),
    Fault("input converters of 13 bits", "derived", "self.arrays.input_bits or 12", "self.arrays.input_bits or 13", "arrays_see"),
    Fault("cells of as many bits as weights", "derived", "max(2, min(12, log2_exact", "max(2, min(16, log2_exact", "arrays_see"),
    Fault("what is loaded is built", "derived",
          '"devices": self.devices.model_copy(update=ideal)', '"devices": self.devices', "what_changes"),
    Fault("pulses that no hardware has are built", "derived", "Pulses() if self.pulses.emulated else self.pulses", "self.pulses",
          "what_changes"),
    Fault("a fold is lost", "geometry", "return -(-self.C // self.L)", "return max(1, self.C // self.L)", "sizes_are"),
    Fault("fewer words", "geometry", "return self.R * self.F", "return self.R * self.F - (self.F > 1)", "sizes_are"),
    Fault("transposed folds as long as the rows", "geometry", "return max(self.R, self.L)", "return self.R", "sizes_are"),
    Fault("groups of 32 lanes", "geometry", "return -(-self.L // 16)", "return -(-self.L // 32)", "sizes_are"),
    Fault("sums of the columns alone", "geometry", "f.delta).width + clog2(self.R)", "f.delta).width", "sizes_are"),
    Fault("narrow loss", "geometry", "+ clog2(self.R) + 1", "+ clog2(self.R)", "sizes_are"),
    Fault("clog2 of powers of two", "geometry", "return (n - 1).bit_length()", "return n.bit_length()", "sizes_are"),
    Fault("engine free too early", "geometry", "(self.T - 1) * self.P + self.R if", "(self.T - 1) * self.P + self.R - 1 if", "sizes_are"),
    Fault("engine free too late", "geometry", "self.R if op is Op.TRANSPOSED else self.N", "self.R if op is Op.TRANSPOSED else self.N + 1",
          "sizes_are"),
    Fault("write after read left out", "program",
          "for past in (self.made, self.used) if v in past", "for past in (self.made,) if v in past",
          "programs_are"),
    Fault("write after write left out", "program",
          "for past in (self.made, self.used) if v in past", "for past in (self.used,) if v in past",
          "stores_and_heads"),
    Fault("read after write left out", "program", "for v, read in t.reads.items() if v in self.made]",
          "for v, read in t.reads.items() if v in ()]", "programs_are"),
    Fault("nothing is waited for", "program", "for place, (first, _) in t.passes.items() if place in self.free]",
          "for place, (first, _) in t.passes.items() if place in ()]", "programs_are"),
    Fault("writers in any order", "program", "{last[v] for v in {*reads, *makes} if v in last}", "{last[v] for v in reads if v in last}",
          "stores_and_heads"),
    Fault("readers in any order", "program", "| {m for v in makes for m in since.get(v, ())}", "| set()", "stores_and_heads"),
    Fault("a cycle later than need be", "program", "start = max(bounds)", "start = max(bounds) + 1", "operations_start"),
    Fault("weights a sample old", "overlap", '"feedback of ", "words of "', '"feedback of ", "any of "', "samples_that_overlap"),
    Fault("feedback of another sample", "overlap", '"feedback of ", ', "", "samples_that_overlap"),
    Fault("the loss of another sample", "overlap", "return store == timing.LOSS or", "return", "samples_that_overlap"),
    Fault("another sample in the bank", "overlap", ".max()) + 1 - FREE", ".max()) - FREE", "samples_that_overlap"),
    Fault("samples meet at a place", "overlap", "e.places - interval))", "NONE))", "samples_that_overlap"),
    Fault("operations of one sample out of order", "overlap", "need = np.maximum(e.own - apart * interval, ", "need = np.maximum(NONE, ",
          "samples_that_overlap"),
    Fault("an interval too short by a cycle", "overlap", "return most, found", "return most - 1, found", "samples_that_overlap"),
    Fault("no operation moves", "overlap", "while best[0] > self.least:", "while False:", "samples_that_overlap"),
    Fault("one slot for both samples", "program", ">= found.get(v, 1) * program", ">= 2 * found.get(v, 1) * program",
          "samples_that_overlap"),
    Fault("staler than allowed", "overlap", "0 <= _lag(order, late, r, u) <= allowed", "0 <= _lag(order, late, r, u)", "stale_reads"),
    Fault("a read that sees two versions", "overlap", "shared += _apart(a, b, stale.__contains__)", "pass", "stale_reads"),
    Fault("a lag that is not said", "overlap", "- (order.index(update) < order.index(read))", "", "stale_reads"),
    Fault("sums meet", "timing", "first - (g.F - 1) * (step.op is Op.FORWARD), last", "first, first", "stores_and_heads"),
    Fault("elements meet in a unit", "timing", "found[f\"{name} of unit {step.unit}\"] = first + after, last + after",
          "found[f\"{name} of unit {step.unit}\"] = first + after, first + after", "stores_and_heads"),
    Fault("words are not read", "timing", "needs.add(words(m))", "pass", "programs_are"),
    Fault("words rewritten early", "timing", "return LEAD + 8 + np.arange(g.N)", "return LEAD + 7 + np.arange(g.N)", "programs_are"),
    Fault("program ends early", "program", "return starts, schedule.end + 1", "return starts, schedule.end", "programs_are"),
    Fault("feedback does not read drives", "timing", "needs.add(drive(step.unit))", "pass", "programs_are"),
    Fault("relaxing does not read feedback", "timing", "needs.add(feedback(step.unit))", "pass", "stores_and_heads"),
    Fault("updates do not read means", "timing", "for name in (step.column, step.row) if", "for name in (step.row,) if", "programs_are"),
    Fault("feedback does not revise", "timing", "for name in (step.mean, step.difference) if", "for name in (step.difference,) if",
          "programs_are"),
    Fault("nudges make no errors", "timing", "for name in (step.mean, step.difference) if", "for name in (step.mean,) if",
          "programs_are"),
    Fault("probes leave the weights raised", "rules.trials", '(True, "subtract"), (False, ""))', '(True, "subtract"), (True, ""))',
          "spsa_moves"),
    Fault("forward sums a cycle early", "timing", "return LEAD + 5 + g.lv", "return LEAD + 4 + g.lv", "programs_are"),
    Fault("inputs read for one row only", "timing", "first + (g.R - 1) * g.F + fold", "first + fold", "programs_are"),
    Fault("errors read in the first fold only", "timing", "first + (g.T - 1) * g.P + row", "first + row", "programs_are"),
    Fault("means there early", "timing", "return z + at_dyad(g, step) + 5", "return z + at_dyad(g, step) + 4", "programs_are"),
    Fault("adding to a drive takes no time", "timing", 'return CONVERTER + (step.enter in ("more", "less", "relax"))', "return CONVERTER",
          "stores_and_heads"),
    Fault("the nudge takes no time", "timing", "4 * (step.unit == g.recipe.layers - 1)", "3 * (step.unit == g.recipe.layers - 1)",
          "programs_are"),
)
"""Faults in the recipe, which both twins share."""


class _Patched(MetaPathFinder):
    """Loads one module from changed source."""

    def __init__(self, fault: Fault):
        self._fault = fault

    def find_spec(self, name, path, target=None) -> ModuleSpec | None:
        if name != f"{HARDWARE}.{self._fault.module}":
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self else None
            if spec:
                return spec_from_loader(name, _Loader(spec.origin, self._fault), origin=spec.origin)
        return None


class _Loader:
    def __init__(self, path, fault):
        self._path, self._fault = path, fault

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(broken(self._path, self._fault), module.__dict__)


@contextlib.contextmanager
def seeded(fault: Fault) -> Iterator[ModuleType]:
    """While this lasts, the hardware has the fault; yields the hardware package."""
    def ours():
        return {name: m for name, m in sys.modules.items() if name == HARDWARE or name.startswith(HARDWARE + ".")}

    package = sys.modules[HARDWARE.rpartition(".")[0]]
    before, finder = ours(), _Patched(fault)
    attribute = vars(package).get("hdl")
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        hdl = importlib.import_module(HARDWARE)
        importlib.import_module(f"{HARDWARE}.{fault.module}")       # now, so that a fault that does not apply is told
        yield hdl
    finally:
        sys.meta_path.remove(finder)
        for name in ours():
            del sys.modules[name]
        sys.modules.update(before)
        if attribute is not None:
            package.hdl = attribute


def broken(path: str, fault: Fault) -> CodeType:
    """Return the code of a module with a fault.

    Raises
    ------
    ValueError
        If the text that the fault replaces is not there exactly once.
    """
    with open(path) as file:
        source = file.read()
    found = source.count(fault.right)
    if found != 1:
        raise ValueError(f"fault {fault.name!r}: its text is {found} times in {fault.module}.py; it must be there exactly once")
    return compile(source.replace(fault.right, fault.wrong), path, "exec")


@contextlib.contextmanager
def shared(fault: Fault) -> Iterator[None]:
    """While this lasts, the recipe has the fault, whoever has imported it: its functions have other code."""
    module = importlib.import_module(f"{RECIPE}.{fault.module}")
    functions, changed = _functions(module), {}
    pending = [broken(module.__file__, fault)]
    while pending:
        for code in filter(inspect.iscode, pending.pop().co_consts):
            pending.append(code)
            function = functions.get(code.co_qualname)
            if function and not _same(function.__code__, code):
                changed[function] = function.__code__
                function.__code__ = code
    if not changed:
        raise ValueError(f"fault {fault.name!r}: it is in no function of {fault.module}.py")
    _forget()
    try:
        yield
    finally:
        for function, code in changed.items():
            function.__code__ = code
        _forget()


def _forget() -> None:
    """Clear what the recipe's functions remember."""
    for name in ("activations", "program", "rules", "table"):
        for function in vars(importlib.import_module(f"{RECIPE}.{name}")).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()


def _same(a, b) -> bool:
    """Whether two codes do the same: those of equal text, nested ones included."""
    nested = [[c for c in code.co_consts if inspect.iscode(c)] for code in (a, b)]
    plain = [[c for c in code.co_consts if not inspect.iscode(c)] for code in (a, b)]
    return (a.co_code, a.co_names, plain[0]) == (b.co_code, b.co_names, plain[1]) and all(map(_same, *nested))


def _functions(module) -> dict:
    """Qualified name to function of everything that a module defines."""
    places = [vars(module)] + [vars(c) for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    found = {}
    for thing in (thing for place in places for thing in place.values()):
        function = inspect.unwrap(thing) if callable(thing) and not inspect.isclass(thing) else thing
        function = getattr(function, "fget", None) or (function.func if isinstance(function, functools.cached_property) else function)
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            found[function.__qualname__] = function
    return found
