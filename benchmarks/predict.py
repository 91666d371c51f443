"""How well the first 1024 samples tell what training comes to: rank correlation on recipes that no fit has seen, and critical noise.

python benchmarks/predict.py                       # against the calibration that ships
python benchmarks/predict.py --critical spsa       # with the critical noise of other rules than three
python benchmarks/predict.py --calibrate           # calibrate anew first, and write explore/predict.npz: half an hour
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
from crossdyad.recipe.rules import RULES

LEARN = tuple(name for name in RULES if name != "inference")
MORE = ("dual-propagation", "backprop", "sign-concordant")
"""Rules of which more recipes are drawn, of the preset `digits`, too."""
FITTED, HELD, EXTRA = 80, 24, (120, 40)
"""Recipes of each rule to fit and to hold out, and how many more of those in `MORE`."""
SEEDS = 1, 2, 3
"""Seeds of the trained chips; those that are looked at have others."""
CRITICAL, FEWER = tuple(range(1, 16)), tuple(range(1, 6))
"""Seeds of the chips whose training tells the critical noise, of `MORE` and of other rules."""


def bases(rule: str) -> list[Recipe]:
    """Presets that recipes of a rule are made from."""
    own = load("digits" if rule == "dual-propagation" else f"digits-{rule}")
    return [own, *([specs.apply(load("digits"), {"rule": rule}).recipe] if rule in MORE[1:] else [])]


def drawn(rule: str, count: int, seed: int) -> list[Recipe]:
    """Random recipes of a rule: formats, effects of the chip, and rates up to the preset's."""
    draw, found, own = np.random.default_rng([seed, *rule.encode()]), [], bases(rule)
    while len(found) < count:
        base = own[draw.integers(len(own))]
        s = {
            "bits.weight": int(draw.integers(5, 17)),
            "bits.state": int(draw.integers(4, 9)),
            "bits.delta": int(draw.integers(5, 11)),
            "devices.read_noise": float(draw.choice([0, 1]) * 2.0 ** draw.uniform(-5, 1.5)),
            "devices.levels": int(draw.choice([0, 0, 16, 64, 256])),
            "devices.stuck": float(draw.choice([0, 0, 1]) * draw.uniform(0, 0.5)),
            "learning_rate": base.learning_rate * 2.0 ** int(draw.integers(-4, 1)),
            "rounding.weight": ["nearest", "stochastic"][draw.integers(2)],
        }
        if rule == "dual-propagation":
            s |= {"beta": 2.0 ** int(draw.integers(-2, 3)), "alpha": float(draw.choice([0, 0.5]))}
        point = specs.apply(base, s)
        if point.recipe:
            found.append(point.recipe)
    return found


def trained(recipes, seeds=SEEDS) -> np.ndarray:
    """Accuracies after training, (recipes, seeds)."""
    found = {}
    for batch in batches([Job(r, s) for r in dict.fromkeys(recipes) for s in seeds], predict.WIDEST):
        for job, value in zip(batch.jobs, evaluate(batch, Settings(predict.EPOCHS, 0, "none")), strict=True):
            found[job] = value["accuracy"]
    return np.array([[found[Job(r, s)] for s in seeds] for r in recipes])


def played(rule: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (recipes, features) and accuracies (recipes, seeds) of a rule's recipes, and which of them are held out."""
    fitted, held = (n + more * (rule in MORE) for n, more in zip((FITTED, HELD), EXTRA, strict=True))
    recipes = drawn(rule, fitted, 21) + drawn(rule, held, 1)
    return predict.observed(recipes), trained(recipes), np.arange(len(recipes)) >= fitted


def calibrate():
    """Fit on recipes of all rules, keep how far off the fit is on others."""
    made = []
    for rule in LEARN:
        made.append(played(rule))
        print(f"{rule}: {len(made[-1][0])} recipes", flush=True)
    kept(made)


def kept(made):
    """Write the calibration on what was `played` of each of `LEARN`."""
    seen, accuracy, held = (np.concatenate(v) for v in zip(*made, strict=True))
    rules = np.repeat(LEARN, [len(m[0]) for m in made])
    validate(seen[~held], accuracy[~held].mean(1), rules[~held])
    model = predict.fit(seen[~held], accuracy[~held].mean(1))
    told = predict.accuracies(model, seen[held])
    model |= {"held_out": np.column_stack([told, accuracy[held].mean(1)]), "held_out_seeds": accuracy[held], "held_out_rules": rules[held]}
    small = {k: v.astype("f4") if v.dtype == float and v.ndim else v for k, v in model.items()}
    np.savez_compressed(Path(explore.__file__).parent / "predict.npz", **small)
    predict.coefficients.cache_clear()


def validate(seen: np.ndarray, accuracy: np.ndarray, rules: np.ndarray):
    """Print the root mean square error of the logit and the rank correlation in cross-validation: in ten parts, for widths and ridges; with
    `MORE` alone, of these; and of each rule by a fit of the others."""
    part, wanted = np.random.default_rng(0).integers(0, 10, len(seen)), predict.logit(accuracy)

    def crossed(name: str, groups: np.ndarray, use=True, of=slice(None)):
        told = np.zeros(len(seen))
        for k in np.unique(groups):
            fitted = (groups != k) & use
            told[groups == k] = predict.accuracies(predict.fit(seen[fitted], accuracy[fitted]), seen[groups == k])
        error = (predict.logit(told) - wanted)[of]
        print(f"{name}: {np.sqrt((error**2).mean()):.3f}, rank correlation {spearmanr(told[of], wanted[of])[0]:.3f}", flush=True)

    for width in (0.35, 0.5, 0.7, 1.0):
        for ridge in (0.03, 0.1, 0.3):
            with mock.patch.multiple(predict, WIDTH=width, RIDGE=ridge):
                crossed(f"width {width}, ridge {ridge}", part)
    few = np.isin(rules, MORE)
    crossed("three rules, by a fit of all", part, of=few)
    crossed("three rules, by a fit of these", part, few, few)
    crossed("each rule, by a fit of the others", rules)


def critical(rule: str):
    """Print the critical noise of a rule's chips, predicted and trained: of `MORE` with the preset `digits`, else with the rule's own."""
    own, seeds = bases(rule)[-1], CRITICAL if rule in MORE else FEWER
    noises = [2.0 ** (k / 4) for k in range(-14, 0)] if rule in MORE else [2.0 ** (k / 2) for k in range(-10, 3)]
    accuracy = trained([specs.apply(own, {"devices.read_noise": v}).recipe for v in (0.0, *noises)], seeds).mean(1)
    told, true = predict.critical_noise(own, noises), predict.crossing(noises, accuracy[1:], accuracy[0])
    words = ["at none of these" if v is None else f"{v:.3g}" for v in (told, true)]
    apart = f" ({100 * (told / true - 1):+.0f} %)" if told and true else ""
    print(f"{rule:21} stops learning at read noise {words[1]}; predicted {words[0]}{apart}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--critical", nargs="+", choices=LEARN, default=MORE, metavar="RULE", help="whose critical noise is trained")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    if asked.calibrate:
        calibrate()
    known = predict.coefficients()
    for name, rules in (("all", LEARN), ("of more recipes", MORE), *((rule, [rule]) for rule in LEARN)):
        of = np.isin(known["held_out_rules"], rules)
        (told, true), each = known["held_out"][of].T, known["held_out_seeds"][of]
        print(
            f"{name:21} {len(told):4} held-out recipes: rank correlation {spearmanr(told, true)[0]:.3f}, median error "
            f"{100 * np.median(np.abs(told - true)):.1f} points; two seeds' rank correlation {spearmanr(each[:, 0], each[:, 1])[0]:.3f}, "
            f"median accuracy {100 * np.median(true):.0f} %"
        )
    for rule in asked.critical:
        critical(rule)


if __name__ == "__main__":
    main()
