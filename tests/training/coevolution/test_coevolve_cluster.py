"""Co-evolution on a Ray cluster that loses a node, then its head, and goes on with another."""

import pytest
import ray
from faults import Driver, count, whole
from ray.cluster_utils import Cluster


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    made = []

    def start(nodes):
        head = {"num_cpus": 0, "include_dashboard": False}
        made.append(Cluster(initialize_head=True, head_node_args=head))
        return made[-1], [made[-1].add_node(num_cpus=1) for _ in range(nodes)]

    yield start
    for one in made:
        one.shutdown()
    if ray.is_initialized():
        ray.shutdown()


def on(address):
    return ("--evaluations", "60", "--resume", "--workers", "ray", "--address", address)


@pytest.mark.slow
def test_a_lost_node_and_a_lost_head_cost_nothing_that_was_evaluated(tmp_path, cluster):
    folder = tmp_path / "run"
    first, nodes = cluster(2)
    with Driver(folder, on(first.address)) as driver:
        driver.wait_for(8)
        first.remove_node(nodes[0], allow_graceful=False)
        driver.wait_for(count(folder) + 8)  # the other node goes on
        first.shutdown()  # the head: Ray ends the driver a minute later, by itself; we do not wait for that
    kept = count(folder)
    assert 16 <= kept < 60
    second, _ = cluster(1)
    with Driver(folder, on(second.address)) as driver:
        status, err = driver.end()
    assert status == 0, err
    assert all(one.tries == 0 for one in whole(folder, 60))  # nobody is blamed for a lost node
