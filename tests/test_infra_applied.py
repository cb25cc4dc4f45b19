"""`infra/` is applied to a cloud that is made up: everything at once, and part after part less."""

from __future__ import annotations

import json
from contextlib import chdir

import pytest
from cloud_provider import Cloud
from infra_module import copied, provider_schemas
from infra_variables import FULL, LEAST
from terraform_site import opened

pytestmark = pytest.mark.slow

PARTS = {  # what is switched off -> how many resources go with it
    "instance": 1,
    "kubernetes": 11,
    "custom_vision": 4,
    "web": 7,
    "budget": 1,
}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory):
    with chdir(tmp_path_factory.mktemp("project")):  # what is composed is what is shipped
        yield provider_schemas()


@pytest.fixture(scope="module")
def full(schemas, tmp_path_factory):
    """A site with everything."""
    with opened(copied(tmp_path_factory.mktemp("full") / "infra"), schemas, Cloud(set())) as site:
        site.plan(**FULL)
        assert site.apply() == []
        yield site


@pytest.fixture
def site(schemas, tmp_path):
    with opened(copied(tmp_path / "infra"), schemas, Cloud(set())) as made:
        yield made


def existing(site):
    """What Terraform says is there, by the names that were asked for."""
    return json.loads(site.run("output", "-json").stdout)["names"]["value"]


def test_everything_is_made_and_nothing_is_left_to_do(full):
    assert full.plan(**FULL) == {}
    wanted = {**FULL["names"], "virtual_network": None}
    assert existing(full) == wanted


@pytest.mark.parametrize(
    ("variables", "count"),
    [({**FULL, "private": True}, 104), (LEAST, 17)],
    ids=["private", "least"],
)
def test_so_are_a_private_one_and_the_least(variables, count, site):
    assert set(site.plan(**variables).values()) <= {"create", "read"}
    assert site.apply() == []
    assert site.plan(**variables) == {}
    assert len(site.state()) == count


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_switched_off_goes_and_takes_nothing_along(part, full):
    changes = full.plan(**{**FULL, part: None})
    assert set(changes.values()) == {"delete"}
    assert len(changes) == PARTS[part]


def test_a_repository_does_not_go_with_a_switch(full):
    full.asks_for({**FULL, "devops": None})
    answer = full.run("plan")
    assert answer.returncode == 1
    assert "azuredevops_git_repository.this[0] has lifecycle.prevent_destroy" in " ".join(
        answer.stderr.replace("│", "").split()
    )
