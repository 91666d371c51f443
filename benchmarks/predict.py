"""How well the first 1024 samples tell what training comes to: rank correlation on recipes that no fit has seen, and critical noise.

python benchmarks/predict.py                # against the calibration that ships
python benchmarks/predict.py --calibrate    # calibrate anew first, and write explore/predict.npz
"""

import argparse
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from scipy.stats import spearmanr

from crossdyad import explore
from crossdyad.explore import predict
from crossdyad.explore import spec as specs
from crossdyad.explore.jobs import Job, Settings, batches, evaluate
from crossdyad.recipe import Recipe, load

SEEDS = 1, 2, 3
"""Seeds of the trained chips; those that are looked at have others."""
LOOKED, GROUP = 101, 150
"""Seed of the chips that are looked at, and after how many recipes it changes, so that the fit sees several."""
CRITICAL = tuple(range(1, 16))
"""Seeds of the chips whose training tells the critical noise."""
DRAWN = ("dual-propagation", "backprop", "feedback-alignment", "sign-concordant")
"""Rules that are drawn; recipes of those that no prediction is offered for are left out."""


def drawn(count: int, seed: int, feedback: dict | None = None) -> list[Recipe]:
    """Random recipes of digits: of so many that are recipes at all (fixed feedback with these settings) those of the calibrated rules."""
    draw, base, found = np.random.default_rng(seed), load("digits"), []
    while len(found) < count:
        s = {
            "rule": DRAWN[draw.integers(4)],
            "bits.weight": int(draw.integers(5, 17)),
            "bits.state": int(draw.integers(4, 9)),
            "bits.delta": int(draw.integers(5, 11)),
            "devices.read_noise": float(draw.choice([0, 1]) * 2.0 ** draw.uniform(-5, 1.5)),
            "devices.levels": int(draw.choice([0, 0, 16, 64, 256])),
            "devices.stuck": float(draw.choice([0, 0, 1]) * draw.uniform(0, 0.5)),
            "learning_rate": 2.0 ** int(draw.integers(-8, -3)),
            "rounding.weight": ["nearest", "stochastic"][draw.integers(2)],
        }
        if s["rule"] == "feedback-alignment":
            s |= feedback or {}
        if s["rule"] == "dual-propagation":
            s |= {"beta": 2.0 ** int(draw.integers(-2, 3)), "alpha": float(draw.choice([0, 0.5]))}
        point = specs.apply(base, s)
        if point.recipe:
            found.append(point.recipe)
    return [r for r in found if r.rule in predict.RULES]


def trained(recipes, seeds=SEEDS) -> np.ndarray:
    """Accuracies after training, (recipes, seeds)."""
    found = {}
    for batch in batches([Job(r, s) for r in dict.fromkeys(recipes) for s in seeds], predict.WIDEST):
        for job, value in zip(batch.jobs, evaluate(batch, Settings(predict.EPOCHS, 0, "none")), strict=True):
            found[job] = value["accuracy"]
    return np.array([[found[Job(r, s)] for s in seeds] for r in recipes])


def calibrate():
    """Fit on 994 recipes, keep how far off the fit is on 200 others."""
    recipes, held = drawn(1300, 21, {"initial": 0.5, "feedback": 0.125}), drawn(320, 1)[:200]
    groups = [recipes[i : i + GROUP] for i in range(0, len(recipes), GROUP)]
    seen = np.concatenate([predict.observed(group, [LOOKED + GROUP * i] * len(group)) for i, group in enumerate(groups)])
    accuracy = np.concatenate([trained(group, SEEDS[:2]).mean(1) for group in groups])
    validate(seen, accuracy)
    told = predict.accuracies(model := predict.fit(seen, accuracy), predict.observed(held, [LOOKED] * len(held)))
    model |= {"held_out": np.column_stack([told, trained(held).mean(1)]), "held_out_rules": np.array([r.rule for r in held])}
    small = {k: v.astype("f4") if v.dtype == float and v.ndim else v for k, v in model.items()}
    np.savez_compressed(Path(explore.__file__).parent / "predict.npz", **small)
    predict.coefficients.cache_clear()


def validate(seen: np.ndarray, accuracy: np.ndarray):
    """Print the root mean square error of the logit in ten-fold cross-validation, for widths and ridges."""
    part, wanted = np.random.default_rng(0).integers(0, 10, len(seen)), predict.logit(accuracy)
    for width in (0.5, 0.7, 1.0, 1.4):
        for ridge in (0.03, 0.1, 0.3):
            with mock.patch.multiple(predict, WIDTH=width, RIDGE=ridge):
                error = [
                    predict.logit(predict.accuracies(predict.fit(seen[part != k], accuracy[part != k]), seen[part == k]))
                    - wanted[part == k]
                    for k in range(10)
                ]
            print(f"width {width}, ridge {ridge}: {np.sqrt((np.concatenate(error) ** 2).mean()):.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", action="store_true")
    warnings.simplefilter("ignore", RuntimeWarning)
    if parser.parse_args().calibrate:
        calibrate()
    known = predict.coefficients()
    for rule in ("all", *predict.RULES):
        told, true = known["held_out"][np.isin(known["held_out_rules"], predict.RULES if rule == "all" else rule)].T
        print(
            f"{rule:20} {len(told):4} held-out recipes: rank correlation {spearmanr(told, true)[0]:.3f}, "
            f"median error {100 * np.median(np.abs(told - true)):.1f} %"
        )
    noises = [2.0 ** (k / 4) for k in range(-14, 0)]
    for rule in predict.RULES:
        recipe = specs.apply(load("digits"), {"rule": rule}).recipe
        chips = [specs.apply(recipe, {"devices.read_noise": v}).recipe for v in (0.0, *noises)]
        accuracy = trained(chips, CRITICAL).mean(1)
        told, true = predict.critical_noise(recipe, noises), predict.crossing(noises, accuracy[1:], accuracy[0])
        print(f"{rule:20} stops learning at read noise {true:.3g}; predicted {told:.3g} ({100 * (told / true - 1):+.0f} %)")


if __name__ == "__main__":
    main()
