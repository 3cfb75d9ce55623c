import numpy as np
import pytest

from lancelet import LanceletError
from lancelet.envs import mazes

LARGE = mazes.named("large")


def passages(maze):
    """Pairs of free neighbours."""
    free = ~mazes.walls(maze)
    return int((free[1:] & free[:-1]).sum() + (free[:, 1:] & free[:, :-1]).sum())


@pytest.mark.parametrize(
    ("name", "start", "goal", "moves"),
    [("umaze", (1, 1), (3, 1), 6), ("medium", (1, 1), (6, 6), 10), ("large", (1, 1), (7, 10), 15)],
)
def test_shortest_paths_are_those_of_the_specification(name, start, goal, moves):
    assert (
        mazes.shortest(mazes.named(name), start, goal)
        == mazes.shortest(mazes.named(name), goal, start)
        == moves
    )


@pytest.mark.parametrize("cell", [(4, 6), (5, 6), (5, 7)])
def test_a_blocked_route_makes_the_way_23_cells_long(cell):
    assert mazes.shortest(mazes.with_cells(LARGE, {cell: "#"}), (1, 1), (7, 10)) == 23


def test_distances_fall_by_one_along_a_way_and_are_minus_one_elsewhere():
    steps = mazes.distances(LARGE, (7, 10))
    free = ~mazes.walls(LARGE)
    assert (steps[~free] == -1).all() and (steps[free] >= 0).all() and steps[7, 10] == 0
    for i, j in np.argwhere(steps > 0):
        assert steps[i, j] - 1 in {
            steps[i - 1, j],
            steps[i + 1, j],
            steps[i, j - 1],
            steps[i, j + 1],
        }


@pytest.mark.parametrize("rooms", [2, 3, 5, 7, 15])
def test_a_perfect_maze_is_a_tree_of_all_rooms(rooms):
    maze = mazes.named(f"perfect:{rooms}", 3)
    assert len(maze) == len(maze[0]) == 2 * rooms + 1
    free = ~mazes.walls(maze)
    assert (mazes.distances(maze, (1, 1))[free] >= 0).all() and free[1::2, 1::2].all()
    assert passages(maze) == free.sum() - 1


def test_loops_are_four_openings_more_in_the_same_maze():
    perfect, loops = (~mazes.walls(mazes.named(f"{kind}:5", 8)) for kind in ("perfect", "loops"))
    assert (loops & perfect == perfect).all() and loops.sum() == perfect.sum() + 4


def test_a_random_maze_follows_its_seed():
    assert mazes.named("perfect:5", 1) == mazes.named("perfect:5", 1) != mazes.named("perfect:5", 2)


def test_cells_and_metres_are_each_others_inverse():
    every = np.argwhere(np.ones((9, 12), bool))
    np.testing.assert_array_equal(mazes.xy_to_cell(LARGE, mazes.cell_to_xy(LARGE, every)), every)
    np.testing.assert_allclose(mazes.cell_to_xy(LARGE, (0, 0)), [-5.5, 4.0])


def test_codes_of_gymnasium_robotics_and_strings_mean_the_same():
    assert mazes.parse([[1, 1, 1, 1], [1, "r", 0, 1], [1, 1, "g", 1], [1, 1, 1, 1]]) == (
        "####",
        "#r.#",
        "##g#",
        "####",
    )
    assert mazes.parse(["1111", "1r 1", "11g1", "1111"]) == ("####", "#r.#", "##g#", "####")
    assert mazes.parse(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])) == ("###", "#.#", "###")


def test_one_map_is_told_from_many():
    one = ("###", "#.#", "###")
    lists = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    assert mazes.is_map(one) and mazes.is_map(lists) and mazes.is_map(np.array(lists))
    assert (
        not mazes.is_map([one, one])
        and not mazes.is_map([lists, lists])
        and not mazes.is_map(np.array([lists]))
    )


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (["####", "####"], "no free cell"),
        (["###", "#..#", "###"], "row 1 has 4 cells and row 0 has 3"),
        (["####", "#.x#", "####"], r"'x' at \(1, 2\)"),
        ([[1, 1, 1], [1, 2, 1], [1, 1, 1]], r"2 at \(1, 1\)"),
        (["####", "#...", "####"], r"open at its edge, at \(1, 3\)"),
        ([], "list of rows"),
        ("####", "list of rows"),
        ([1, 2], "must be a string or a list"),
        ([None], "must be a string or a list"),
    ],
)
def test_bad_maps_are_refused_in_one_line(bad, why):
    with pytest.raises(LanceletError, match=why) as error:
        mazes.parse(bad)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "bad", ["huge", "perfect", "perfect:1", "loops:2", "perfect:x", "perfect:1000", "loops:-3"]
)
def test_unknown_mazes_are_refused(bad):
    with pytest.raises(LanceletError, match="perfect:N"):
        mazes.named(bad)
