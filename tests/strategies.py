"""What the property tests draw from."""

from hypothesis import strategies as st

from crossdyad.recipe import Recipe

POWERS = st.integers(-8, 4).map(lambda n: 2.0**n)


@st.composite
def recipes(draw):
    """Valid recipes of small chips."""
    layers = draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(2, 20), min_size=layers + 1, max_size=layers + 1))
    lanes = [draw(st.sampled_from([n for n in (1, 2, 4, 8, 16) if n < 2 * c])) for c in sizes[:-1]]
    floor = draw(st.integers(-12, -4))
    rounding = st.sampled_from(["floor", "nearest", "nearest_even", "stochastic"])
    overflow = st.sampled_from(["saturate", "wrap"])
    places = ("accumulator", "state", "delta", "weight")
    return Recipe(
        name="drawn",
        sizes=sizes,
        lanes=lanes,
        bias=draw(st.booleans()),
        alpha=draw(st.sampled_from([0, 0.5, 1])),
        beta=draw(POWERS),
        rule=draw(st.sampled_from(["inference", "dual-propagation", "spsa"])),
        activation=draw(st.sampled_from(["identity", "relu", "hard_sigmoid", "hard_tanh"])),
        rate_floor=2.0**floor,
        learning_rate=2.0 ** (floor + draw(st.integers(0, 7))),
        seed=draw(st.integers(0, 2**64 - 1)),
        rounding={p: draw(rounding) for p in places},
        overflow={p: draw(overflow) for p in places},
    )
