"""What the benchmark prints: medians over seeds, and bars that can be missed."""

from signloop.studies.bars import BARS, COLUMNS, Bar, Measured, medians, rows_of_seeds, table_rows


def test_the_median_keeps_the_interval_of_its_seed() -> None:
    results = {seed: {"drives.ap50": Measured(value, (value - 0.1, value + 0.1))} for seed, value in enumerate((0.5, 0.9, 0.7))}
    assert medians(results) == {"drives.ap50": Measured(0.7, (0.7 - 0.1, 0.7 + 0.1))}


def test_of_an_even_number_of_seeds_the_lower_middle_counts() -> None:
    assert medians({0: {"a": Measured(2.0)}, 1: {"a": Measured(1.0)}}) == {"a": Measured(1.0)}


def test_what_one_seed_could_not_measure_has_no_median() -> None:
    assert medians({0: {"minutes": Measured(20.0)}, 1: {"minutes": Measured(None)}}) == {"minutes": Measured(None)}
    assert medians({}) == {}


def test_a_bar_holds_on_its_own_side_only() -> None:
    assert Bar(0.9, 1.0).holds(Measured(0.9))
    assert not Bar(0.9, 1.0).holds(Measured(0.89))
    assert Bar(8, 3, is_most=True).holds(Measured(8))
    assert not Bar(8, 3, is_most=True).holds(Measured(8.1))
    assert not Bar(0.9, 1.0).holds(Measured(None))


def test_a_paired_bar_wants_the_whole_interval_beyond_it() -> None:
    fewer = Bar(0, 0, is_most=True, is_paired=True)
    assert fewer.holds(Measured(-4, (-8, -1)))
    assert not fewer.holds(Measured(-4, (-8, 1)))
    assert not fewer.holds(Measured(-4))


def test_rows_say_what_holds_and_what_is_missed() -> None:
    name = "drives.10fps.false_signs_per_minute"
    found = {name: Measured(9.0, (5.0, 12.0)), "drives.ap50": Measured(0.98), "crops.ece": Measured(None), "unjudged": Measured(1.0)}
    assert table_rows(found) == [
        (name, "9", "5 to 12", "8", "3", "missed"),
        ("drives.ap50", "0.98", "", "0.975", "0.99", "holds"),
        ("crops.ece", "-", "", "0.03", "0.015", "missed"),
        ("unjudged", "1", "", "", "", ""),
    ]


def test_a_file_has_each_measure_of_each_seed() -> None:
    rows = rows_of_seeds({3: {"a": Measured(0.5, (0.25, 0.75)), "b": Measured(None)}, 4: {"a": Measured(0.0)}}, "c0ffee")
    assert [tuple(row[name] for name in COLUMNS) for row in rows] == [
        ("c0ffee", 3, "a", 0.5, 0.25, 0.75),
        ("c0ffee", 3, "b", None, None, None),
        ("c0ffee", 4, "a", 0.0, None, None),
    ]


def test_the_aim_is_never_easier_than_the_least() -> None:
    for name, bar in BARS.items():
        assert bar.aim <= bar.least if bar.is_most else bar.aim >= bar.least, name
