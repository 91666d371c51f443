"""Data of one's own: what files are taken for, what is told of those that cannot be used, and that every command takes them."""

import gzip
import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad import data, emulator
from crossdyad.cli import app
from crossdyad.data import DataError
from crossdyad.recipe import Data, Recipe, RecipeError, load, parse

ROWS = [(5.1, 1, "red"), (4.9, 2, "red"), (6.3, 3, "green"), (6.1, 5, "green"), (7.7, 8, "blue"), (7.9, 13, "blue")]


def table(tmp_path, text: str, name: str = "table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def written(rows=ROWS, separator=",", header="width,height,colour", comma=False, mark="") -> str:
    lines = [header.replace(",", separator)] if header else []
    lines += [separator.join(str(v).replace(".", "," if comma else ".") for v in row) for row in rows]
    return mark + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"separator": ";"},
        {"separator": "\t"},
        {"separator": "|"},
        {"header": ""},
        {"separator": ";", "comma": True},
        {"mark": "\ufeff"},
    ],
    ids=str,
)
def test_separator_header_and_decimal_comma_are_found(form, tmp_path):
    d = data.load(table(tmp_path, written(**form)), scale="none", test=0.5)
    assert d.about.classes == ("blue", "green", "red")
    assert d.about.columns == (("width", "height") if form.get("header", "x") else ("column 1", "column 2"))
    both = sorted((*x, d.about.classes[y]) for x, y in zip(np.vstack([d.x_train, d.x_test]), np.append(d.y_train, d.y_test), strict=True))
    assert both == sorted((a, float(b), c) for a, b, c in ROWS)
    assert sorted(d.y_train) == sorted(d.y_test) == [0, 1, 2]


def test_the_label_may_be_any_column_and_columns_may_be_left_out(tmp_path):
    path = table(tmp_path, "class,id,width\n" + "".join(f"{c},n{i},{w}\n" for i, (w, _, c) in enumerate(ROWS)))
    d = data.load(path, label="class", leave_out=("id",))
    assert d.about.columns == ("width",) and d.x_train.shape[1] == 1
    with pytest.raises(DataError, match="no such column; there are class, id, width"):
        data.load(path, label="colour")


def test_scaling_is_fitted_on_the_training_part_alone(tmp_path):
    rows = [(i, i % 2) for i in range(20)]
    d = data.load(table(tmp_path, written(rows, header="a,b")), seed=3)
    taught = (d.x_train[:, 0] / d.about.factor[0]) + d.about.offset[0]
    assert np.allclose(d.about.offset[0], taught.mean()) and np.allclose(1 / d.about.factor[0], taught.std())
    assert np.allclose(d.x_train.mean(), 0) and not np.allclose(np.vstack([d.x_train, d.x_test]).mean(), 0)
    r = data.load(table(tmp_path, written(rows, header="a,b")), seed=3, scale="range")
    assert (r.x_train.min(), r.x_train.max()) == (-1, 1) and np.abs(r.x_test).max() <= 1


def test_the_split_is_stratified_and_of_its_seed(tmp_path):
    rows = [(i, "a" if i < 40 else "b") for i in range(50)]
    path = table(tmp_path, written(rows, header="v,c"))
    first, again, other = (data.load(path, seed=s, scale="none") for s in (1, 1, 2))
    assert np.bincount(first.y_test).tolist() == [8, 2]
    assert np.array_equal(first.x_test, again.x_test) and not np.array_equal(first.x_test, other.x_test)


def test_a_file_to_test_on_has_the_same_columns_in_any_order(tmp_path):
    train = table(tmp_path, written())
    test = table(tmp_path, "height,width,colour\n2,1,red\n", "test.csv")
    d = data.load(train, test=test, scale="none")
    assert d.x_test.tolist() == [[1.0, 2.0]] and len(d.x_train) == 6
    with pytest.raises(DataError, match="test.csv.*both files need the same"):
        data.load(train, test=table(tmp_path, "height,colour\n2,red\n", "test.csv"))
    with pytest.raises(DataError, match="line 2 to test on: class 'pink'"):
        data.load(train, test=table(tmp_path, "height,width,colour\n2,1,pink\n", "test.csv"))


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "empty"),
        ("a,b\n", "no samples"),
        ("a\n1\n2\n", "only the column 'a'"),
        ("a,b,c\n1,2,x\n1,x2,y\n3,4,x\n5,6,y\n", "line 3, column 'b': 'x2' is no number; correct it"),
        ("a,b,c\n1,red,x\n1,blue,y\n", r"column 'b': 'red' is no number, and so in 1 more lines; write leave_out = \['b'\]"),
        (
            "a,b,c\n1,,x\n1,NA,y\n3,?,x\n5,6,y\n",
            r"(?s)line 2, column 'b'.*line 3.*line 4.*3 values are missing; write missing = \"drop\".*\"mean\"",
        ),
        ("a,b,c\n1,2,x\n1,2\n3,4,x\n", "line 3: 2 cells where the first line has 3"),
        ("a,b,c\n1,2,x\n1,2,x\n3,4,x\n", "c is 'x' in every sample; at least two classes"),
        ("a,b,c\n1,2,x\n1,2,x\n3,4,y\n", r"class 'y' \(line 4\) with one sample.*single = \"drop\".*\"train\""),
        ("a,a,c\n1,2,x\n", "column 'a': there twice"),
        ("a,b,c\n1,2,\n1,2,x\n3,4,y\n", "line 2, column 'c': no value"),
        ("a,b,c\n1,inf,x\n1,2,y\n", "'inf' is no number"),
    ],
)
def test_what_cannot_be_used_says_where_and_what_to_do(text, told, tmp_path):
    with pytest.raises(DataError, match=told) as error:
        data.load(table(tmp_path, text))
    assert "table.csv" in str(error.value)


def test_all_mistakes_at_once(tmp_path):
    with pytest.raises(DataError) as error:
        data.load(table(tmp_path, "a,b,c\n1,oh,x\n,2,x\n3,4,y\nno,5,y\n"))
    assert all(told in str(error.value) for told in ("line 2, column 'b'", "line 5, column 'a'", "line 3, column 'a'"))


def test_remedies_work(tmp_path):
    path = table(tmp_path, "a,b,c\n1,,x\n2,4,x\n3,8,x\n5,6,y\n6,7,y\n9,9,z\n")
    d = data.load(path, missing="drop", single="drop", scale="none")
    assert d.about.classes == ("x", "y") and len(d.about.notes) == 2
    assert len(d.x_train) + len(d.x_test) == 4
    d = data.load(path, missing="mean", single="train", scale="none")
    assert d.about.classes == ("x", "y", "z") and 2 not in d.y_test and 2 in d.y_train
    known = d.x_train[:, 1][~np.isin(d.x_train[:, 0], [1])]
    both = np.vstack([d.x_train, d.x_test])
    assert both[both[:, 0] == 1][0, 1] == known.mean()


def test_numbers_are_learned_in_bins(tmp_path):
    rows = [(i, i * 1.5) for i in range(40)]
    d = data.load(table(tmp_path, written(rows, header="v,target")), bins=8)
    low, high = d.about.targets[0].min(), d.about.targets[0].max()
    assert np.array_equal(d.y_train, np.minimum((d.about.targets[0] - low) / (high - low) * 8, 7).astype(int))
    assert np.abs(d.about.levels[d.y_train] - d.about.targets[0]).max() <= (high - low) / 16 + 1e-9
    assert data.load(table(tmp_path, written([(i, i % 3) for i in range(40)], header="v,c"))).about.levels is None


def test_parquet_is_the_same_as_csv(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = table(tmp_path, written())
    duckdb.sql(f"COPY (SELECT * FROM read_csv('{path}')) TO '{tmp_path}/table.parquet' (FORMAT parquet)")
    a, b = data.load(path), data.load(tmp_path / "table.parquet")
    assert all(np.array_equal(u, v) for u, v in zip(a, b, strict=True)) and a.about.classes == b.about.classes
    (tmp_path / "table.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no Parquet file"):
        data.load(tmp_path / "table.parquet")


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X", "y"),
        ("data", "target"),
    ],
)
def test_arrays_under_the_names_people_use(names, tmp_path):
    x, y = np.arange(48, dtype=np.uint8).reshape(12, 2, 2), np.arange(12) % 3
    np.savez(tmp_path / "d.npz", **dict(zip(names, (x, y, x[:3], y[:3]), strict=False)))
    d = data.load(tmp_path / "d.npz")
    assert d.x_train.shape[1] == 4 and d.x_train.max() <= 47 / 255 and set(d.y_train) == {0, 1, 2}
    assert len(d.x_train) + len(d.x_test) == (15 if names[2:] else 12)


def idx(array) -> bytes:
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.mark.parametrize(
    "spelt",
    [
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        ("emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte", "a-test-images", "a-test-labels"),
        (
            "FashionMNIST/raw/train-images-idx3-ubyte",
            "FashionMNIST/raw/train-labels-idx1-ubyte",
            "FashionMNIST/raw/t10k-images-idx3-ubyte",
            "FashionMNIST/raw/t10k-labels-idx1-ubyte",
        ),
        ("kmnist-train-imgs.npz", "kmnist-train-labels.npz", "kmnist-test-imgs.npz", "kmnist-test-labels.npz"),
    ],
)
def test_idx_files_are_known_by_what_they_hold(spelt, tmp_path):
    x, y = np.arange(6 * 9).reshape(6, 3, 3), np.array([0, 1, 2, 4, 1, 2])
    for name, array in zip(spelt, (x, y, x[:2], y[:2]), strict=True):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".npz"):
            np.savez(path, array.astype(np.uint8))
        else:
            path.write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))
    d = data.load(tmp_path)
    assert np.array_equal(d.x_train, x.reshape(6, 9) / 255) and d.y_train.tolist() == y.tolist() and d.y_test.tolist() == [0, 1]
    (tmp_path / spelt[1]).unlink()
    with pytest.raises(DataError, match="no file of labels to train"):
        data.load(tmp_path)


def image(path, size=(4, 3), value=0, mode="L"):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_a_folder_of_images_per_class(tmp_path):
    for i in range(3):
        image(tmp_path / "cat" / f"{i}.png", value=10 * i)
        image(tmp_path / "dog" / f"{i}.png", value=200)
    d = data.load(tmp_path)
    assert d.about.classes == ("cat", "dog") and d.x_train.shape == (4, 12) and d.x_train.max() == 200 / 255
    image(tmp_path / "dog" / "3.png", size=(5, 3))
    (tmp_path / "dog" / "4.png").write_text("no image")
    with pytest.raises(DataError, match=r"(?s)4.png: no image.*3.png: 5 x 3 pixels where most have 4 x 3.*write resize = \[4, 3\]"):
        data.load(tmp_path)
    (tmp_path / "dog" / "4.png").unlink()
    assert data.load(tmp_path, resize=(4, 3)).x_train.shape[1] == 12
    image(tmp_path / "dog" / "3.png", mode="RGB", value=(1, 2, 3))
    assert data.load(tmp_path).x_train.shape[1] == 36, "grey images beside coloured ones"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a recipe and a table in it."""
    draw = np.random.default_rng(1)
    rows = [(*(draw.normal(size=3) + 2 * np.eye(3)[c]).round(3), "abc"[c]) for c in range(3) for _ in range(30)]
    table(tmp_path, written(rows, ";", "u,v,w,kind"), "own.csv")
    (tmp_path / "own.toml").write_text(
        'name = "own"\ndata = { file = "own.csv", one = true }\nsizes = [4, 8, 3]\nlanes = [4, 4]\n[training]\nepochs = 4\n'
    )
    (tmp_path / "spec.toml").write_text(
        'name = "s"\nrecipe = "own.toml"\nseeds = 1\nepochs = 1\nsamples = 4\n[axes]\nbeta = [1.0]\n'
        'data.seed = [1, 2]\n[search]\nobjectives = ["accuracy"]\ngenerations = 1\npopulation = 2\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert "Traceback" not in done.output
    return done


def test_every_command_takes_them(home):
    done = call("train", "own.toml", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["accuracy"] > 0.7, done.output
    with np.load("build/own-weights.npz") as kept:
        d = data.of(load("own.toml"))
        assert np.array_equal(kept["data_factor"], d.about.factor) and kept["data_classes"].tolist() == ["a", "b", "c"]
        assert kept["data_columns"].tolist() == ["u", "v", "w"] and kept["data_offset"].shape == (4,)
    for command in (
        ("budget", "own.toml"),
        ("age", "own.toml", "--preset", "pcm", "--run", "build", "--json"),
        ("cosim", "own.toml", "--simulator", "amaranth", "--samples", 2),
    ):
        done = call(*command)
        assert done.exit_code == 0, done.output
        assert "own.csv" in done.output or command[0] != "cosim"
    (home / "other.csv").write_text((home / "own.csv").read_text().replace("a\n", "a1\n"))
    assert call("train", "own.toml", "--data", "other.csv", "-o", "else").exit_code == 0
    with np.load("else/own-weights.npz") as kept:
        assert kept["data_classes"].tolist() == ["a1", "b", "c"]


@pytest.mark.parametrize(
    "command",
    [
        ("train", "own.toml"),
        ("cosim", "own.toml", "--simulator", "amaranth"),
        ("budget", "own.toml"),
        ("sweep", "spec.toml"),
        ("search", "spec.toml"),
    ],
    ids=lambda c: c[0],
)
def test_data_that_cannot_be_used_are_refused_everywhere(command, home):
    (home / "own.csv").write_text("u;v;kind\n1;2;a\n2;3;b\n3;4;a\n4;5;b\n")
    done = call(*command)
    assert "3 inputs (with the one), but own has sizes[0] = 4; write sizes = [3, ...]" in done.stderr, done.output
    assert done.exit_code == (0 if command[0] == "sweep" else 2), "a sweep marks such points and goes on"
    done = call(*command, "--data", "nowhere.csv")
    assert done.exit_code == 2 and "nowhere.csv: no such file" in done.stderr, done.output


def test_shapes_that_do_not_fit_are_told_at_once(home):
    recipe = Recipe(name="small", sizes=(9, 2), lanes=(1,), data=Data(file="own.csv"))
    with pytest.raises(DataError, match=r"(?s)3 inputs, but small has sizes\[0\] = 9.*3 classes, but small has 2 outputs"):
        data.of(recipe)
    with pytest.raises(DataError, match=r"xor: 3 inputs, but small has sizes\[0\] = 9; write sizes = \[3"):
        data.of(recipe.model_copy(update={"data": Data(file="xor")}))
    with pytest.raises(DataError, match="digits: 10 classes, but few has 2 outputs"):
        data.of(Recipe(name="few", sizes=(64, 2), lanes=(1,), data=Data(file="digits")))
    with pytest.raises(RecipeError, match=r"(?s)data.scale: 'sd'; allowed is .*data.colour: unknown key"):
        parse('name = "a"\nsizes = [3, 2]\nlanes = [1]\ndata = { file = "x.csv", scale = "sd", colour = 1 }\n')
    assert parse('name = "a"\nsizes = [3, 2]\nlanes = [1]\ndata = "x.csv"\n').data == Data(file="x.csv")


def test_data_change_no_hardware():
    recipe = load("xor")
    own = recipe.model_copy(update={"data": Data(file="own.csv")})
    assert own != recipe and own.as_built == recipe.as_built and parse(own.to_toml()) == own


METRIC = """
import numpy as np
def worst(outputs, labels):
    right = outputs.argmax(-1) == labels
    return min(right[labels == c].mean() for c in np.unique(labels))
def wrong(outputs, labels):
    return 1 / 0
def nothing(outputs, labels):
    return None
"""


@pytest.fixture
def metric(home, monkeypatch):
    (home / "figures_of_mine.py").write_text(METRIC)
    monkeypatch.syspath_prepend(home)
    monkeypatch.setenv("CROSSDYAD_IMPORT", "figures_of_mine")
    yield lambda name: load("own.toml").model_copy(
        update={"training": load("own.toml").training.model_copy(update={"metric": f"figures_of_mine:{name}"})}
    )
    sys.modules.pop("figures_of_mine", None)


def test_a_metric_of_ones_own_stands_where_accuracy_would(metric, home):
    recipe = metric("worst")
    d = data.of(recipe)
    history = emulator.train(recipe, *d, epochs=2, seeds=[1, 2])
    chip = emulator.Chip(recipe, "jax", (2,), [1, 2])
    chip.weights = history.weights
    right = chip.infer(d.x_test).argmax(-1) == d.y_test
    expected = [min(r[d.y_test == c].mean() for c in range(3)) for r in right]
    assert history.epochs[-1]["accuracy"].tolist() == expected
    assert expected != right.mean(-1).tolist()
    (home / "own.toml").write_text(recipe.to_toml())
    (home / "spec.toml").write_text(
        'name = "s"\nrecipe = "own.toml"\nseeds = [1, 2]\nepochs = 2\nmetrics = ["accuracy"]\n[axes]\nbeta = [1.0]\n'
    )
    assert call("sweep", "spec.toml", "--workers", 1).exit_code == 0
    assert json.loads(call("sweep", "spec.toml", "--json", "--dry-run").stdout)["missing"] == 0
    call("export", "s.db", "-o", "rows.csv")
    import csv

    assert [float(r["accuracy"]) for r in csv.DictReader(open("rows.csv"))] == pytest.approx(expected)
    (home / "own.csv").write_text((home / "own.csv").read_text().replace("a\n", "b\n", 5))  # rows are known by what the data hold
    assert json.loads(call("sweep", "spec.toml", "--json", "--dry-run").stdout)["missing"] == 2


@pytest.mark.parametrize("name, told", [("wrong", "raised ZeroDivisionError"), ("nothing", "returned None; it must return a finite")])
def test_a_metric_that_fails_is_told(name, told, metric, home):
    (home / "own.toml").write_text(metric(name).to_toml())
    done = call("train", "own.toml")
    assert done.exit_code == 2 and "training.metric" in done.stderr and told in done.stderr


def test_a_metric_that_is_not_allowed_is_not_run(metric, monkeypatch):
    monkeypatch.setenv("CROSSDYAD_IMPORT", "")
    with pytest.raises(RecipeError, match="training.metric: .*only code that you allow"):
        parse('name = "a"\nsizes = [3, 2]\nlanes = [1]\n[training]\nmetric = "figures_of_mine:worst"\n')
