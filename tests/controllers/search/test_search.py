"""The search finds its way in mazes it knows nothing of, learns within its life, and says what it refuted."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Population
from lancelet.training.rollout import make_env, rollout

MAZE = "lancelet/PointMaze-v0"
UMAZE = {"maze": "umaze", "options": {"reset_cell": (1, 1), "goal_cell": (3, 1)}}
LARGE = {"maze": "large", "options": {"reset_cell": (1, 1), "goal_cell": (7, 10)}}
CUT = ("#####", "#...#", "#####", "#...#", "#####")


def make(name="search", **options):
    return controllers.make(name, gym.make(MAZE), **options)


def lives(controller, n, trials, maze, options, state=None, before=None, **task):
    """Steps (n, trials) of agents that live through several trials, and their last state."""
    env, agents, lengths = (
        make_env(MAZE, n, nthread=1, maze=maze, **task),
        Population(controller, n),
        [],
    )
    for trial in range(trials):
        if before:
            before(env, trial)
        score, state = rollout(env, agents, seed=7 * trial, options=options, state=state)
        lengths.append(np.where(score.metrics["success"] > 0, score.lengths, 10_000))
    return np.stack(lengths, axis=1), state


def hand(controller, walk, state=None, goal=(5.0, 0.0)):
    """Actions over a given walk (steps, 4), and the state."""
    state = controller.initial_state(1) if state is None else state
    actions = []
    for seen in np.asarray(walk, float):
        observation = {
            "observation": torch.tensor(seen[None]),
            "desired_goal": torch.tensor([goal]).double(),
        }
        action, state = controller(observation, state)
        actions.append(action.numpy().copy())
    return np.concatenate(actions), state


# -- navigation -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("task", "first", "third"), [(UMAZE, 800, 280), (LARGE, 1100, 700)])
def test_it_finds_the_way_with_no_map_and_is_faster_the_third_time(task, first, third):
    steps, state = lives(make(), 20, 3, **task)
    assert (steps < 10_000).all()
    assert np.median(steps[:, 0]) <= first and np.median(steps[:, 2]) <= third
    assert np.median(steps[:, 2]) < np.median(steps[:, 0])
    assert (state[0].life.numpy() == steps.sum(1)).all()  # one forward a step, babble included


@pytest.mark.parametrize("part", ["spread", "refinement", "replay"])
def test_it_finds_the_way_without_a_part_that_only_helps(part):
    assert (lives(make(lesions=(part,)), 4, 1, **UMAZE)[0] < 5_000).all()


@pytest.mark.slow
def test_without_depression_it_tries_the_same_for_ever():
    steps, state = lives(make(lesions=("depression",)), 4, 1, **UMAZE, max_episode_steps=4000)
    assert (steps == 10_000).all()
    assert min(mind.stalls for mind in state[1]) > 100


def test_the_wavefront_plans_as_a_star_does():
    assert (lives(make(planner="wavefront"), 2, 1, **UMAZE)[0] < 3_000).all()


def test_a_noisy_reading_of_the_code_costs_little():
    assert np.median(lives(make(phase_noise=0.3), 4, 1, **LARGE)[0]) < 1_600


@pytest.mark.slow
def test_a_coarse_lattice_is_refined_until_the_way_is_found():
    steps, state = lives(
        make(spacing=4.0), 8, 1, "medium", {"reset_cell": (1, 1), "goal_cell": (6, 6)}
    )
    assert (steps < 10_000).all()
    assert max(mind.level for mind in state[1]) >= 1


# -- novel settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [[[0, 1], [1, 0]], [[-1, 0], [0, 1]], [[0.5, 0], [0, 0.5]]])
def test_other_actuators_at_birth_need_no_other_code(gain):
    steps, _ = lives(
        make(), 4, 1, UMAZE["maze"], {**UMAZE["options"], "gain": np.array(gain, float)}
    )
    assert (steps < 2_000).all()


@pytest.mark.parametrize("gain", [[[0, 1], [1, 0]], [[-1, 0], [0, -1]]])
def test_actuators_that_change_in_mid_life_are_learned_again(gain):
    controller = make()
    before, state = lives(controller, 4, 3, **UMAZE)
    options = {**UMAZE["options"], "gain": np.array(gain, float)}
    after, state = lives(controller, 4, 2, UMAZE["maze"], options, state=state)
    assert (after[:, 0] < before[:, 2] + 400).all()
    turned = state[0].gain.numpy() / np.abs(state[0].gain.numpy()).max((1, 2), keepdims=True)
    np.testing.assert_allclose(turned, np.broadcast_to(np.array(gain, float), (4, 2, 2)), atol=0.1)


@pytest.mark.slow
def test_a_blocked_route_is_solved_again():
    wall = {"maze_map": _with_wall((4, 6))}
    controller = make()
    _, state = lives(controller, 4, 3, **LARGE)
    steps, _ = lives(controller, 4, 4, LARGE["maze"], {**LARGE["options"], **wall}, state=state)
    assert (steps < 10_000).all() and np.median(steps[:, 3]) < np.median(steps[:, 0])


def _with_wall(cell):
    from lancelet.envs import mazes

    rows = [list(row) for row in mazes.named("large")]
    rows[cell[0]][cell[1]] = "#"
    return tuple("".join(row) for row in rows)


def test_a_goal_that_cannot_be_reached_is_given_up_with_what_was_refuted():
    controller = make(budget=3000)
    walls = [-1.9, 1.9, -0.4, 0.4]
    x, v, state = np.zeros(2), np.zeros(2), controller.initial_state(1)
    with pytest.warns(
        RuntimeWarning, match=r"no way to \(3.00, 0.00\) in 3000 steps; \d+ edges refuted"
    ):
        for _ in range(4000):  # a ball in a closed box
            action, state = hand(controller, [[*x, *v]], state, goal=(3.0, 0.0))
            v = v + 0.238 * action[0]
            x = x + 0.01 * v
            stopped = np.array([not walls[0] < x[0] < walls[1], not walls[2] < x[1] < walls[3]])
            v[stopped] = 0.0
            x = np.clip(x, [walls[0], walls[2]], [walls[1], walls[3]])
    report = controller.report(state)
    assert report["gave_up"] and report["stalls"] > 20 and len(report["refuted"]) > 5
    np.testing.assert_array_equal(report["goal"], [3.0, 0.0])
    assert np.abs(v).max() < 0.05  # it rests
    _, state = hand(controller, [[*x, *v]], state, goal=(1.0, 0.0))
    assert not controller.report(state)["gave_up"]


# -- one life ---------------------------------------------------------------------------------------------------------


def test_a_life_goes_on_through_evaluate_with_keep_state():
    score = training.evaluate(make(), MAZE, episodes=3, seed=0, keep_state=True, nthread=1, **UMAZE)
    assert score.metrics["success"].all() and score.lengths[2] < score.lengths[0]


def test_an_agent_sleeps_when_its_episode_is_over_and_wakes_where_it_is_put():
    controller = make()
    _, state = lives(controller, 6, 1, **UMAZE)
    assert (state[0].mode.numpy() == 3).all() and (state[0].action == 0).all()
    life = state[0].life.clone()
    observation = {
        "observation": torch.cat([state[0].x, state[0].v], 1),
        "desired_goal": state[0].goal,
    }
    action, state = controller(observation, state)
    assert (action == 0).all() and (state[0].life == life).all()
    observation["observation"] = observation["observation"] + 1.0
    _, state = controller(observation, state)
    assert (state[0].life == life + 1).all()


def test_a_reset_in_mid_edge_blames_no_edge():
    controller = make(babble=10)
    rng, v, walk = np.random.default_rng(0), np.zeros(2), []
    _, state = hand(controller, [[0, 0, 0, 0]])
    while state[0].mode[0] == 0:
        v = v + 0.238 * state[0].action[0].numpy()
        walk.append([0.0, 0.0, *v])
        _, state = hand(controller, walk[-1:], state)
    _, state = hand(controller, [[*rng.uniform(-3, 3, 2), 0, 0] for _ in range(50)], state)
    assert state[1][0].stalls == 0 and state[1][0].graph.edges == 0


@pytest.mark.parametrize("name", ["search", "random-edge", "lrta"])
def test_an_agent_lives_the_same_life_whoever_stands_beside_it(name):
    def run(n):
        options = {**LARGE["options"], "goal_cell": (1, 4)}
        score, state = rollout(
            make_env(MAZE, n, nthread=1, maze="large", max_episode_steps=600),
            Population(make(name), n),
            3,
            options,
        )
        return score.lengths[0], make(name).to_arrays(state)[0]

    (steps, alone), (among, beside) = run(1), run(5)
    assert steps == among and alone.keys() == beside.keys()
    for part, values in alone.items():
        np.testing.assert_array_equal(values, beside[part], err_msg=part)


@pytest.mark.parametrize("name", ["search", "random-edge", "lrta"])
def test_a_state_written_down_as_arrays_goes_on_to_the_bit(name):
    controller = make(name, seed=3)

    def run(state, steps):
        env = make_env(MAZE, 3, nthread=1, maze="large", max_episode_steps=steps)
        return rollout(env, Population(controller, 3), 5, LARGE["options"], state=state)

    _, state = run(None, 300)
    arrays = controller.to_arrays(state)
    assert all(isinstance(part, np.ndarray) and part.dtype != object for part in arrays[0].values())
    again = controller.from_arrays(arrays)
    _, left = run(state, 300)
    _, right = run(again, 300)
    for one, other in zip(controller.to_arrays(left), controller.to_arrays(right), strict=True):
        for part, values in one.items():
            np.testing.assert_array_equal(values, other[part], err_msg=part)


def test_reset_makes_newborns_of_the_masked_alone():
    controller = make()
    _, state = lives(controller, 3, 1, **UMAZE)
    old = state[1][0]
    body, minds = controller.reset(state, torch.tensor([False, True, False]))
    assert (
        minds[0] is old
        and minds[1].graph.count == 0
        and body.life.tolist()[1] == 0
        and body.life[0] > 0
    )


def test_signals_tell_the_size_of_the_graph():
    controller = make()
    _, state = lives(controller, 2, 1, **UMAZE)
    signals = controller.signals(state)
    assert {"places", "edges", "level", "stalls", "refutations", "mean_weight"} <= signals.keys()
    assert all(values.shape == (2, 1) for values in signals.values())
    assert (signals["places"] > 3).all() and (signals["edges"] > signals["places"]).all()


def test_it_is_saved_and_loaded_as_a_controller(tmp_path):
    controllers.save(make(w0=0.5, lesions=("spread",)), tmp_path / "a.safetensors")
    again = controllers.load(tmp_path / "a.safetensors")
    assert again.options.w0 == 0.5 and again.options.lesions == ("spread",)
    assert training.evaluate(again, MAZE, episodes=1, nthread=1, **UMAZE).metrics["success"].all()


# -- bad input --------------------------------------------------------------------------------------------------------


def test_positions_must_be_finite():
    with pytest.raises(LanceletError, match=r"agent 0.*finite"):
        hand(make(), [[np.nan, 0, 0, 0]])
    with pytest.raises(LanceletError, match=r"agent 0.*finite"):
        hand(make(), [[0, 0, 0, 0]], goal=(np.inf, 0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"w0": 0.0}, "w0 = 0.0"), ({"eta_m": 1.0}, "eta_m = 1.0"), ({"spacing": -1.0}, "spacing"),
        ({"babble": 2}, "babble = 2"), ({"modules": 3}, "modules"), ({"budget": 0}, "budget"),
        ({"planner": "dijkstra"}, "planner"), ({"lesions": ("walls",)}, "walls"),
        ({"phase_noise": -1.0}, "phase_noise"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(LanceletError, match=message):
        make(**options)


def test_spaces_it_cannot_read_are_refused():
    with pytest.raises(LanceletError, match="Search cannot read"):
        controllers.make("search", gym.make("lancelet/Swim-v0", joints=3))


# -- other control intervals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frame_skip", "most_seconds"), [(5, 30), (20, 60), (50, 150)])
def test_it_finds_the_way_with_rarer_decisions(frame_skip, most_seconds):
    interval = 0.01 * frame_skip
    controller = controllers.make("search", gym.make(MAZE, frame_skip=frame_skip))
    assert controller.options.interval == pytest.approx(interval)
    steps = int(most_seconds / interval)
    found, _ = lives(controller, 4, 2, **UMAZE, frame_skip=frame_skip, max_episode_steps=steps)
    assert (found <= steps).all()
    assert np.median(found[:, 1]) < np.median(found[:, 0])


def test_the_interval_is_the_environments_unless_it_is_given(tmp_path):
    slow = gym.make(MAZE, frame_skip=20)
    assert make().options.interval == 0.01
    assert controllers.make(
        "search", gym.make_vec(MAZE, frame_skip=20)
    ).options.interval == pytest.approx(0.2)
    assert controllers.make("search", slow, interval=0.1).options.interval == 0.1
    controllers.save(make(), tmp_path / "fast.safetensors")
    assert controllers.load(tmp_path / "fast.safetensors").options.interval == 0.01
    assert controllers.load(
        tmp_path / "fast.safetensors", env=slow
    ).options.interval == pytest.approx(0.2)


def test_a_controller_of_another_interval_is_refused_in_one_line():
    with pytest.raises(LanceletError, match=r"interval = 0.01 s .* every 0.2 s") as caught:
        training.evaluate(make(), MAZE, episodes=1, frame_skip=20)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("interval", [0.0, -0.01, float("nan"), 1.0])
def test_an_interval_that_the_search_cannot_work_with_is_refused(interval):
    with pytest.raises(LanceletError, match="interval"):
        make(interval=interval)


def test_an_interval_too_long_for_the_search_names_the_tasks_option():
    with pytest.raises(LanceletError, match="frame_skip"):
        controllers.make("search", gym.make(MAZE, frame_skip=100))
