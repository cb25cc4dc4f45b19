"""A training's table of epochs, and the charts that a report draws of it."""

from mlops_spec import curves

EPOCHS = [
    (1, 2.0, 1.0, 0.25, 10),
    (2, 1.0, 1.5, 0.50, 10),
    (3, 0.5, 0.5, 0.75, 30),
]


def test_a_line_goes_from_edge_to_edge(tmp_path) -> None:
    curves.write(tmp_path, EPOCHS)
    found = curves.charts(tmp_path)
    assert found["loss"].lines == {
        "train_loss": "0.0,0.0 240.0,120.0 480.0,180.0",
        "val_loss": "0.0,120.0 240.0,60.0 480.0,180.0",
    }
    assert (found["loss"].least, found["loss"].most) == (0.5, 2.0)
    assert found["accuracy"].lines == {"val_accuracy": "0.0,180.0 240.0,90.0 480.0,0.0"}


def test_a_mark_is_where_more_of_the_network_learns(tmp_path) -> None:
    curves.write(tmp_path, EPOCHS)
    assert {chart.marks for chart in curves.charts(tmp_path).values()} == {(480.0,)}


def test_what_never_changes_is_a_straight_line(tmp_path) -> None:
    curves.write(tmp_path, [(i, 1.0, 1.0, 0.5, 10) for i in range(2)])
    assert curves.charts(tmp_path)["accuracy"].lines == {"val_accuracy": "0.0,180.0 480.0,180.0"}


def test_without_two_epochs_there_is_no_chart(tmp_path) -> None:
    assert curves.charts(tmp_path) == {}
    curves.write(tmp_path, EPOCHS[:1])
    assert curves.charts(tmp_path) == {}
