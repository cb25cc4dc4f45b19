"""Secrets are names; a value is refused before anything is recorded, and never repeated."""

from __future__ import annotations

import json

import pytest

from mlops_spec import redaction, secrets
from mlops_spec.errors import MlopsError
from mlops_spec.origins import Setting

NAMES = [
    "password",
    "PASSWORD",
    "db_password",
    "passwd",
    "secret",
    "client_secret",
    "CLIENT_SECRETS",
    "token",
    "AUTH_TOKEN",
    "tokens",
    "api_key",
    "apikey",
    "API_KEYS",
    "access_key",
    "account_key",
    "ACCOUNTKEY",
    "sas",
    "blob_sas",
    "credential",
    "credentials",
]
# Each looks like what such a secret looks like; none was ever one.
LOOKS = {
    "connection string": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aGVsbG8=;",
    "bus connection": "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKey=aGVsbG8=",
    "shared access signature": "https://a.blob.core.windows.net/c?sv=2024&sig=" + "aB3%2F" * 7,
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "OpenSSH key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl",
    "plain private key": "-----BEGIN PRIVATE KEY-----\nMIIE",
    "web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl",
    "GitHub": "ghp_" + "a1B2" * 9,
    "GitHub, fine-grained": "github_pat_" + "a1B2" * 9,
    "Hugging Face": "hf_" + "a1B2" * 8,
    "Slack": "xoxb-1234567890-" + "a1B2" * 4,
    "model vendor": "sk-" + "a1B2" * 8,
    "storage key": "aB3/" * 21 + "aB==",
    "password in an address": "postgresql://user:hunter2@host:5432/db",
    "Amazon, a signed address": "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature="
    + "0123456789abcdef" * 4,
    "Amazon, a session": "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=" + "aB3%2F" * 20,
    "Amazon, a signed address of before": "https://b.s3.amazonaws.com/k?AWSAccessKeyId=A"
    "KIAIOSFODNN7EXAMPLE&Expires=1&Signature=" + "aB3%2F" * 4,
    "Amazon, a pair": "AKIAIOSFODNN7EXAMPLE:" + "aB3/" * 10,
    "Amazon, a pair in a file": "aws_access_key_id = ASIAIOSFODNN7EXAMPLE\n"
    "aws_secret_access_key = " + "aB3/" * 10,
    "Google, a signed address": "https://storage.googleapis.com/b/k?X-Goog-Signature=" + "0a" * 256,
    "Google, a key": "https://maps.example.org/?key=AIza" + "aB3-_" * 7,
    "a token in an address": "https://example.org/photos.zip?token=" + "abcdefghijklm" * 2,
    "an upper-case token": "https://example.org/photos.zip?v=1&TOKEN=" + "abcdefghijklm" * 2,
    "an access token": "https://example.org/a?access_token=" + "aB3" * 8,
    "a token behind the #": "https://example.org/a#access_token=" + "aB3" * 8,
    "an API key": "https://example.org/a?api_key=" + "aB3" * 8,
    "an API key in one word": "https://example.org/a?apikey=" + "aB3" * 8,
    "a password as a parameter": "https://example.org/a?user=me&password=correct-horse-battery",
    "inside a sentence": "use ghp_" + "a1B2" * 9 + " for it",
}
HARMLESS = [
    "",
    "quickstart",
    "resnext50_32x4d",
    "../shared/data/ants_bees",
    ".mlops/mlflow.db",
    "sqlite:///.mlops/mlflow.db",
    "https://example.org/a?sv=1&sig=short",
    "https://user@example.org/a",
    "https://example.org:8080/a@b",
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg",
    "sha256:" + "0123456789abcdef" * 4,
    "0123456789abcdef" * 8,
    "sk-short",
    "https://example.org/a.zip?sha256=" + "0123456789abcdef" * 4,
    "https://example.org/a.zip?version=" + "0123456789abcdef" * 4 + "&download=true",
    "https://example.org/a?monkey=" + "0123456789abcdef",
    "https://example.org/a?token=short&page=2",
    "https://example.org/a?token=${secret:PHOTOS_TOKEN}",
    "https://example.org/0123456789abcdef0123456789abcdef/a.zip?key=",
    "AKIAIOSFODNN7EXAMPLE",
    "AKIAIOSFODNN7EXAMPLE is a name, sha256:" + "0123456789abcdef" * 4,
    "commit 0123456789abcdef0123456789abcdef01234567",
    "${name}_x",
    "task-based-learning-rate-schedule",
]


def found(values, origins=None):
    return list(secrets.find(values, origins or {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_text_under_a_secret_s_name_is_a_problem_at_its_line(name):
    origins = {f"compute.environment.{name}": [Setting("hunter2", "conf/x.yaml:7")]}
    (problem,) = found({"compute": {"environment": {name: "hunter2"}}}, origins)
    assert (problem.where, problem.key) == ("conf/x.yaml:7", f"compute.environment.{name}")
    assert f"${{secret:{name.upper()}}}" in problem.message
    assert "hunter2" not in problem.message


@pytest.mark.parametrize("value", [12345678, 1234.5], ids=repr)
def test_a_secret_that_yaml_reads_as_a_number_is_a_problem_too(value):
    problems = found({"compute": {"environment": {"DB_PASSWORD": value}}})
    assert [problem.key for problem in problems] == ["compute.environment.DB_PASSWORD"]
    assert str(value) not in problems[0].message


@pytest.mark.parametrize("value", LOOKS.values(), ids=LOOKS.keys())
def test_a_value_that_looks_like_a_secret_is_a_problem_under_any_name(value):
    (problem,) = found({"data": {"root": value}})
    assert problem.key == "data.root"
    assert value not in problem.message


def test_secrets_in_a_list_are_found_by_name_and_by_look():
    values = {"tokens": ["hunter2"], "urls": ["x", {"u": LOOKS["password in an address"]}]}
    problems = found({"a": values})
    assert [problem.key for problem in problems] == ["a.tokens", "a.urls.u"]


@pytest.mark.parametrize("value", HARMLESS)
def test_an_ordinary_value_is_no_problem(value):
    assert found({"data": {"root": value, "list": [value]}}) == []


@pytest.mark.parametrize("name", ["tokenizer", "secretary", "passwordless", "sassy", "keys", "key"])
def test_an_ordinary_name_is_no_problem(name):
    assert found({"a": {name: "hunter2"}}) == []


@pytest.mark.parametrize("value", ["${secret:DB_PASSWORD}", "???", "", None, True], ids=repr)
def test_a_secret_s_name_may_hold_a_reference_a_switch_or_nothing_yet(value):
    assert found({"a": {"db_password": value}}) == []


def test_a_reference_does_not_excuse_a_secret_beside_it():
    assert found({"a": {"db_password": "${secret:A}hunter2"}})


def test_references_are_replaced_from_the_environment_and_their_values_reported(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    monkeypatch.setenv("UNUSED", "other")
    variables = {"A": "${secret:DB_PASSWORD}", "B": "u:${secret:DB_PASSWORD}@h", "C": "plain"}
    assert secrets.resolve(variables) == (
        {"A": "hunter2", "B": "u:hunter2@h", "C": "plain"},
        {"hunter2"},
    )


def test_a_secret_with_odd_characters_arrives_as_it_is(monkeypatch):
    value = r"a\1\g<0>${secret:X}$\n"
    monkeypatch.setenv("ODD", value)
    assert secrets.resolve({"A": "${secret:ODD}"})[0] == {"A": value}


def test_a_secret_that_is_not_set_is_named_with_a_cure(monkeypatch):
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    with pytest.raises(MlopsError, match="DB_PASSWORD is not set") as caught:
        secrets.resolve({"A": "${secret:DB_PASSWORD}"})
    assert "environment variable DB_PASSWORD" in caught.value.cure


def test_every_occurrence_of_every_secret_is_masked():
    text = secrets.mask("hunter2 and abc, hunter2", {"hunter2", "abc"})
    assert text == "*** and ***, ***"


@pytest.mark.parametrize("value", LOOKS.values(), ids=LOOKS.keys())
def test_what_is_left_of_an_error_is_json_still(value):
    document = {"message": f'it says "{value}" there', "more": [{"key": "a"}]}
    found = json.loads(redaction.redact(json.dumps(document)))
    assert found["more"] == document["more"]
    assert value not in found["message"]


def test_only_the_secret_of_an_address_is_hidden():
    text = "GET https://example.org/a?page=2&token=abcdefghijklmnopqrst&size=3 failed"
    assert redaction.redact(text) == "GET https://example.org/a?page=2***&size=3 failed"


def test_a_secret_that_another_value_shadows_is_a_problem_at_its_own_line():
    origins = {"a.token": [Setting("hunter2", "file.yaml:3"), Setting("", "command line")]}
    (problem,) = secrets.find({"a": {"token": ""}}, origins)
    assert (problem.where, problem.key) == ("file.yaml:3", "a.token")


def test_a_secret_that_begins_like_another_leaves_no_rest():
    for pair in (["hunter2", "hunter2-and-more"], ["hunter2-and-more", "hunter2"]):
        assert secrets.mask("x hunter2-and-more y", pair) == "x *** y"


def test_an_empty_secret_masks_nothing():
    assert secrets.mask("text", {""}) == "text"


def test_a_secret_of_several_lines_is_masked_line_by_line_as_a_log_shows_it():
    key = "-----BEGIN PRIVATE KEY-----\nMIIEabcdefgh\n-----END PRIVATE KEY-----\n"
    assert "MIIEabcdefgh" not in secrets.mask("MIIEabcdefgh", {key})
