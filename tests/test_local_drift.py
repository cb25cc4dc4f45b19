"""`target=local`: why a plan says that an address is not what the spec asks for."""

from dataclasses import replace

import pytest
from world import Now, compose

from deployers import local
from mlops_spec import services
from mlops_spec.facts import Facts
from mlops_spec.registry import Version

WORDS = ["+experiment=quickstart", "target=local"]
CHAMPION = Version(2, "train", 1, "bundle", champion=True, digest="new")
VERSIONS = (replace(CHAMPION, version=1, champion=False, digest="old"), CHAMPION)


def deploying(found, *words):
    """The step that deploys, given what answers at the address."""
    _, spec = compose(Now([*WORDS, *words]))
    *_, step = local.steps(spec, Facts("images", versions=VERSIONS, target=found))
    return step


def served(*words, **changes):
    """What answers where a spec was deployed."""
    asked = services.asked(deploying({}, *words).payload)
    blue = {"pid": 1, "digest": "new", "answers": True, "asked": asked}
    return {"deployments": {"blue": {**blue, **changes}}, "traffic": {"blue": 100}, "mirror": {}}


def test_what_was_deployed_is_what_the_spec_asks_for():
    assert deploying(served()).drift == ""
    assert deploying({}).drift == "nothing answers at 127.0.0.1:5001"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest": "old"}, "serves another model"),
        ({"answers": False}, "does not answer"),
        ({"asked": ""}, "has other settings"),
    ],
)
def test_another_deployment_is_told(changes, said):
    assert deploying(served(**changes)).drift == f"deployment blue {said}"


@pytest.mark.parametrize("part", ["traffic", "mirror"])
def test_other_shares_are_told(part):
    found = served()
    found["deployments"]["green"] = found["deployments"]["blue"]
    found[part] = {"green": 100, "blue": 0}
    wanted = "blue 100" if part == "traffic" else "none"
    assert deploying(found).drift == f"{part} is green 100, not {wanted}"


@pytest.mark.parametrize(
    "word",
    ["target.serving.max_delay=1.0", "target.key='${secret:SCORING_KEY}'"],
)
def test_a_service_that_runs_with_other_settings_is_told(word):
    """Back to settings that were deployed once: their step is finished, others serve."""
    assert deploying(served(word)).drift == "deployment blue has other settings"
    assert deploying(served(), word).drift == "deployment blue has other settings"
    assert deploying(served(word), word).drift == ""


def test_another_quantisation_is_another_setting():
    word, images = "target.serving.precision=int8", "target.quantization.images=9"
    assert deploying(served(images)).drift == ""
    assert deploying(served(word, images), word).drift == "deployment blue has other settings"


def test_traffic_and_other_secrets_are_no_setting_of_a_deployment():
    words = ["target.traffic={blue:90,green:10}", "lineage.sign_with='${secret:SIGNING_KEY}'"]
    assert "settings" not in deploying(served(), *words).drift
