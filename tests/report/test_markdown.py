from busi_keras.report.markdown import number, table


def test_a_table_has_a_line_for_its_titles_and_each_row() -> None:
    assert table(["a", "b"], [["1", ""], ["2", "3"]]) == "| a | b |\n|---|---|\n| 1 |  |\n| 2 | 3 |"


def test_a_bar_in_a_cell_is_part_of_it() -> None:
    assert table(["study"], [["gates|30"]]).splitlines()[2] == r"| gates\|30 |"


def test_a_score_that_is_not_defined_is_called_that() -> None:
    assert (number(0.12345), number(1.0, 3), number(None)) == ("0.1235", "1.000", "not defined")
