"""The verb `services`: what runs is told, its logs are shown, and it ends without harm.

All processes are real: routers are ours, deployments and pages are scripts.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import test_page_start
import test_service
from scoring import free_port
from test_service import made, start

from mlops_spec import addresses, cli, files, pages, services, stopping
from mlops_spec.actions import _processes
from mlops_spec.errors import StateError

TESTS = Path(__file__).parent
golden = test_service.golden


@pytest.fixture(autouse=True)
def started(monkeypatch, tmp_path):
    """All the processes that were started; they outlive whoever started them, but not a test."""
    monkeypatch.chdir(tmp_path)
    Path("deployers.scoring.py").write_text(test_service.SCRIPT)
    Path("toy_page.py").write_text(test_page_start.SCRIPT)
    found, popen = [], subprocess.Popen

    def noted(*words, **more):
        found.append(popen(*words, **more))
        return found[-1]

    monkeypatch.setattr(_processes.subprocess, "Popen", noted)
    yield found
    for pid in services.logging(tmp_path):
        os.kill(pid, signal.SIGKILL)
    for process in found:
        process.kill()
        process.wait()


@pytest.fixture
def port(golden):
    """Where blue serves."""
    number = free_port()
    start(made("one", golden), number)
    return number


@pytest.fixture
def say(capsys):
    """Runs the verb: exit code, what it says, and what it complains of."""
    capsys.readouterr()

    def said(*words):
        code = cli.main(["services", *map(str, words)])
        return (int(code), *capsys.readouterr())

    return said


def state_of(port):
    return services.read(services.path_of("127.0.0.1", port))


def recorded(host, port):
    """An address at which nothing runs any more, and its logs."""
    path = services.path_of(host, port)
    blue = {"pid": 0, "port": 1, "model": "m", "version": 1, "digest": "d", "bundle": "b"}
    values = {"host": host, "port": port, "router": 0, "mirror": {}, "traffic": {"blue": 100}}
    limits = {"max_bytes": 1, "body_seconds": 1.0, "answer_seconds": 1.0}
    deployments = {"blue": {**blue, "log": "l"}}
    services.write(path, services.State(**values, **limits, deployments=deployments))
    path.with_suffix("").mkdir()
    for name in ("blue", "router"):
        path.with_suffix("").joinpath(f"{name}.log").touch()


def runs(*pids):
    """Whether processes do, each; one that nobody has waited for yet does not."""
    return [services.is_ours(pid, "") and services._words(pid) != b"" for pid in pids]


def pids_of(port):
    state = state_of(port)
    return [state.router, *(each.pid for each in state.deployments.values())]


def canary(port, golden, traffic=0, mirror=0):
    shares = {"traffic": {"blue": 100 - traffic, "green": traffic}, "mirror": {"green": mirror}}
    start(made("two", golden), port, deployment="green", **shares)


def ask(port):
    """The status of a request with an image."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request("POST", "/score", b"image")
        return connection.getresponse().status


# ---- list


def test_where_nothing_runs_it_says_so_kindly_and_writes_nothing(say):
    before = {*Path().rglob("*")}
    code, out, err = say()
    assert (code, err) == (0, "")
    assert "nothing was started from this folder; `python -m mlops_spec +exp" in out
    assert say("--json") == (0, "", "")
    assert say("stop") == (0, "nothing runs from this folder\n", "")
    assert {*Path().rglob("*")} == before


def test_a_service_and_a_page_are_listed(port, golden, say):
    canary(port, golden, 20, 5)
    page_port = free_port()
    page = test_page_start.start(page_port)
    code, out, _ = say()
    router, blue, green = pids_of(port)
    assert code == 0
    lines = out.splitlines()
    folder = f".mlops/services/127.0.0.1-{port}"
    assert (
        f"http://127.0.0.1:{port}  router answers, process {router}, log {folder}/router.log"
        in lines
    )
    rows = [line.split() for line in lines if "digits/1" in line]
    assert rows == [
        ["blue", "digits/1", "80", "%", "0", "%", "answers", str(blue), f"{folder}/blue.log"],
        ["green", "digits/1", "20", "%", "5", "%", "answers", str(green), f"{folder}/green.log"],
    ]
    log = "step/log.txt"
    assert f"http://127.0.0.1:{page_port}  page answers, process {page['pid']}, log {log}" in lines


def test_it_is_one_document_a_line(port, say):
    _, out, _ = say("--json")
    (document,) = map(json.loads, out.splitlines())
    router, blue = pids_of(port)
    (deployment,) = document["deployments"]
    assert (document["address"], document["kind"]) == (f"127.0.0.1:{port}", "service")
    assert (document["process"]["pid"], document["process"]["answers"]) == (router, True)
    assert (deployment["name"], deployment["process"]["pid"]) == ("blue", blue)
    assert (deployment["version"], deployment["traffic"], deployment["mirror"]) == (1, 100, 0)


@pytest.mark.slow
def test_what_died_or_hangs_is_told(port, golden, say):
    canary(port, golden)
    router, blue, green = pids_of(port)
    os.kill(router, signal.SIGKILL)
    os.kill(blue, signal.SIGKILL)
    os.kill(green, signal.SIGSTOP)
    os.waitpid(router, 0)
    os.waitpid(blue, 0)
    _, out, _ = say()
    os.kill(green, signal.SIGCONT)
    assert f"http://127.0.0.1:{port}  router has ended\n" in out
    rows = [line for line in out.splitlines() if "digits/1" in line]
    assert ["has ended" in rows[0], "does not answer" in rows[1]] == [True, True]


@pytest.mark.slow
def test_another_program_at_the_address_is_told_and_left_alone(port, say):
    say("stop", port)
    with test_page_start.answering(b'{"pid": 1}') as other:
        path = services.path_of("127.0.0.1", port)
        state = state_of(port).model_copy(update={"port": other})
        services.write(services.path_of("127.0.0.1", other), state)
        path.unlink()
        assert "another program listens there" in say()[1]
        assert say("stop", other) == (0, f"nothing runs at {other}\n", "")


def test_nothing_in_a_file_is_obeyed_by_a_terminal(port, say):
    state = state_of(port)
    evil = state.deployments["blue"].model_copy(update={"model": "x\x1b[2J\x9b", "log": "\ny"})
    path = services.path_of("127.0.0.1", port)
    services.write(path, state.model_copy(update={"deployments": {"blue": evil}}))
    for words in ((), ("--json",)):
        out = say(*words)[1]
        assert all(line.isprintable() for line in out.splitlines())
        assert "x" in out


# ---- stop


def test_stop_ends_all_of_it_and_the_next_run_starts_it_again(port, golden, say):
    canary(port, golden, 50)
    router, blue, green = pids_of(port)
    code, out, err = say("stop", port)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"127.0.0.1:{port}: router ended (process {router})",
        f"127.0.0.1:{port}: blue ended (process {blue})",
        f"127.0.0.1:{port}: green ended (process {green})",
    ]
    assert runs(router, blue, green) == [False, False, False]
    assert pids_of(port) == [0, 0, 0]
    assert state_of(port).traffic == {"blue": 50, "green": 50}
    assert "router has ended" in say()[1]
    assert say("stop", port) == (0, f"nothing runs at {port}\n", "")
    start(made("three", golden), port)
    assert ask(port) == 200
    assert [*state_of(port).deployments] == ["blue"]


def test_stop_loses_no_request(port, say):
    Path("one.slow").write_text("1.5")
    found = []
    asking = threading.Thread(target=lambda: found.append(ask(port)))
    asking.start()
    while not Path("asked").exists():
        time.sleep(0.02)
    assert say("stop", port)[0] == 0
    asking.join()
    assert found == [200]


@pytest.mark.slow
def test_stop_without_an_address_ends_everything_pages_first(port, golden, say):
    other, page_port = free_port(), free_port()
    start(made("two", golden), other)
    page = test_page_start.start(page_port)
    pids = [*pids_of(port), *pids_of(other), page["pid"]]
    code, out, _ = say("stop", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert {each["pid"] for each in events} == {*pids}
    assert [each["what"] for each in events] == ["page", "router", "blue", "router", "blue"]
    assert {(each["event"], each["killed"]) for each in events} == {("ended", False)}
    assert not any(runs(*pids))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["{}", "127.0.0.1:{}", "http://127.0.0.1:{}/score"])
def test_an_address_may_be_written_in_any_way(port, say, form):
    pids = pids_of(port)
    assert say("stop", form.format(port), "-q") == (0, "", "")
    assert not any(runs(*pids))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stop", "1"], "no such address (known: 127.0.0.1:PORT)"),
        (["logs", "127.0.0.2:PORT"], "no such address (known: 127.0.0.1:PORT)"),
        (["logs"], "takes an address: services logs NUMBER (known: 127.0.0.1:PORT)"),
        (["stop", "PORT", "blu"], "no such deployment at 127.0.0.1:PORT; did you mean blue?"),
        (["logs", "PORT", "blu"], "no such log at PORT; did you mean blue? (known: blue, router)"),
        (["stop", "PORT", "blue", "green"], "takes an address and a deployment, no more"),
        (["stpo"], "services takes logs or stop; did you mean stop?"),
        (["stop", "target.port=1"], "services takes no KEY=VALUE"),
    ],
)
def test_words_that_name_nothing_are_answered_with_what_there_is(say, words, message):
    recorded("127.0.0.1", 5001)
    code, out, err = say(*(word.replace("PORT", "5001") for word in words))
    assert (code, out) == (2, "")
    assert message.replace("PORT", "5001").replace("NUMBER", "PORT") in err


def test_a_port_of_two_addresses_is_asked_back(say):
    recorded("127.0.0.1", 5001)
    recorded("::1", 5001)
    code, _, err = say("stop", 5001)
    assert code == 2
    assert "several addresses have this port (known: 127.0.0.1:5001, [::1]:5001)" in err
    assert say("stop", "[::1]:5001") == (0, "nothing runs at [::1]:5001\n", "")


def test_ids_that_others_have_by_now_are_not_signalled(port, golden, say):
    """A deployment of another address, and a stranger; both have an id that a file names."""
    other = free_port()
    start(made("two", golden), other)
    state, victim = state_of(port), subprocess.Popen(["sleep", "60"])
    _, theirs = pids_of(other)
    changed = {
        "blue": state.deployments["blue"].model_copy(update={"pid": theirs}),
        "grey": state.deployments["blue"].model_copy(update={"pid": victim.pid}),
    }
    changed = {"deployments": changed, "router": pids_of(other)[0]}
    services.write(services.path_of("127.0.0.1", port), state.model_copy(update=changed))
    page = pages.Page(pid=theirs, program="deployers.scoring", log="")
    pages.write(pages.path_of("127.0.0.1", 1), page)
    say("stop", port)
    say("stop", 1)
    assert all(runs(*pids_of(other), victim.pid))
    assert not any(runs(*(pid for pid in (state.router, state.deployments["blue"].pid))))
    victim.kill()
    victim.wait()


@pytest.mark.slow
def test_who_ignores_the_signal_is_killed_after_a_while(golden, say, monkeypatch):
    monkeypatch.setattr(stopping, "_SECONDS", 0.5)
    Path("ignores").touch()
    port = free_port()
    start(made("one", golden), port)
    router, blue = pids_of(port)
    code, out, _ = say("stop", port)
    assert code == 0
    assert f"router ended (process {router})" in out
    assert f"blue killed, since it did not end by itself (process {blue})" in out
    assert not any(runs(router, blue))


def in_another_process(path, port, deployment="blue"):
    """A run that deploys, as a process of its own."""
    code = (
        f"import test_service; from pathlib import Path;"
        f"test_service.start(Path({str(path)!r}), {port}, deployment={deployment!r},"
        f"traffic={{{deployment!r}: 100}})"
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    while not Path("asked").exists():
        assert process.poll() is None
        time.sleep(0.02)
    return process


def left_by_a_killed_run(port, golden):
    """A deployment whose run was killed before it was written down."""
    path = made("two", golden)
    Path("two.slow").write_text("60")
    run = in_another_process(path, port, "green")
    run.kill()
    run.wait()
    (found,) = [pid for pid in services.logging(Path()) if pid not in pids_of(port)]
    return found


def test_what_a_killed_run_left_alone_is_told_and_ends_with_the_rest(port, golden, say):
    stray = left_by_a_killed_run(port, golden)
    out = say()[1]
    assert "left alone by a run: green" in out
    assert f"python -m mlops_spec services stop {port} {stray} " in out
    assert f"127.0.0.1:{port}: green ended (process {stray})" in say("stop", port)[1]
    assert not any(runs(stray))


@pytest.mark.slow
def test_what_a_killed_run_left_alone_ends_by_its_id(port, golden, say):
    stray = left_by_a_killed_run(port, golden)
    assert say("stop", port, stray)[:2] == (
        0,
        f"127.0.0.1:{port}: green ended (process {stray})\n",
    )
    assert "left alone" not in say()[1]
    assert all(runs(*pids_of(port)))


@pytest.mark.slow
def test_what_stands_in_no_file_any_more_is_found_and_ends(port, say):
    pids = pids_of(port)
    services.path_of("127.0.0.1", port).unlink()
    assert "router answers" in say()[1]
    assert len(say("stop")[1].splitlines()) == 2
    assert not any(runs(*pids))
    assert "nothing was started" in say()[1]


def test_a_run_that_deploys_is_waited_for(port, golden, say):
    path = made("two", golden)
    Path("two.slow").write_text("1.5")
    run = in_another_process(path, port)
    code, out, err = say("stop", port)
    assert (run.wait(60), code) == (0, 0)
    assert err == f"127.0.0.1:{port}: a run is deploying there; waiting for it\n"
    assert state_of(port).deployments["blue"].bundle.endswith("two")
    assert len(out.splitlines()) == 2
    assert services.logging(Path()) == {}


@pytest.mark.slow
def test_a_run_that_deploys_for_long_is_an_error_and_others_end(port, golden, say, monkeypatch):
    monkeypatch.setattr(stopping, "_PATIENCE_SECONDS", 0.2)
    other = free_port()
    start(made("two", golden), other)
    with services.writing(services.path_of("127.0.0.1", port), 0):
        code, out, err = say("stop")
    assert code == 1
    assert f"another run has been deploying at 127.0.0.1-{port}" in err
    assert out.count(f"127.0.0.1:{other}: ") == 2
    assert all(runs(*pids_of(port)))


def test_a_damaged_file_is_told_and_what_runs_ends_all_the_same(port, golden, say):
    pids, path = pids_of(port), services.path_of("127.0.0.1", port)
    path.write_text('{"schema_version": 1, "host": 5}')
    code, out, _ = say()
    assert code == 0
    assert f"{path} is damaged" in out
    assert f"python -m mlops_spec services stop {port} " in out
    with pytest.raises(StateError, match="is damaged") as caught:
        start(made("two", golden), port)
    assert "services stop" in caught.value.cure
    assert len(say("stop", port)[1].splitlines()) == 2
    assert not any(runs(*pids))
    start(made("three", golden), port)
    assert ask(port) == 200


@pytest.mark.slow
def test_a_file_of_a_newer_version_is_left_alone(port, say):
    pids, path = pids_of(port), services.path_of("127.0.0.1", port)
    path.write_text('{"schema_version": 99}')
    code, _, err = say("stop")
    assert (code, "newer mlops_spec" in err) == (1, True)
    assert all(runs(*pids))
    assert path.read_text() == '{"schema_version": 99}'


def test_a_system_without_proc_is_asked_by_ps(port, say, monkeypatch):
    pids = pids_of(port)
    monkeypatch.setattr(services, "_PROCESSES", Path("/nowhere"))
    path = services.path_of("127.0.0.1", port)
    whole = path.read_text()
    path.write_text("{")
    code, _, err = say("stop")
    assert (code, "end the processes that it names by `kill`" in err) == (1, True)
    path.write_text(whole)
    state = state_of(port)
    stale = state.deployments["blue"].model_copy(update={"port": 1})
    assert (services.serves(state.deployments["blue"]), services.serves(stale)) == (True, False)
    assert len(say("stop")[1].splitlines()) == 2
    monkeypatch.undo()
    assert not any(runs(*pids))


# ---- one deployment


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["traffic", "mirror"])
def test_a_deployment_that_is_asked_is_left_alone(port, golden, say, kind):
    canary(port, golden, **{kind: 30})
    code, _, err = say("stop", port, "green")
    assert code == 1
    assert f"green at 127.0.0.1:{port} has 30 % of the requests, by target.{kind}" in err
    assert f"another target.{kind} first" in err
    assert all(runs(*pids_of(port)))


def test_a_deployment_without_traffic_ends_alone(port, golden, say):
    canary(port, golden)
    router, blue, green = pids_of(port)
    out = say("stop", port, "green")[1]
    assert out == f"127.0.0.1:{port}: green ended (process {green})\n"
    assert runs(router, blue, green) == [True, True, False]
    assert pids_of(port) == [router, blue]
    assert ask(port) == 200
    code, _, err = say("stop", port, "green")
    assert (code, "no such deployment" in err, "(known: blue)" in err) == (2, True, True)


# ---- logs


def test_logs_show_the_end_of_each_harmlessly(port, say):
    folder = services.path_of("127.0.0.1", port).with_suffix("")
    folder.joinpath("blue.log").write_bytes(
        b"".join(b"line %d\n" % number for number in range(30)) + b"evil \x1b[2J\xff\r x\n"
    )
    code, out, _ = say("logs", port)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"blue: {folder}/blue.log"
    assert lines[1:20] == [f"  line {number}" for number in range(11, 30)]
    assert lines[20] == "  evil \\x1b[2J\ufffd\\r x"
    assert f"router: {folder}/router.log" in lines
    assert "router" not in say("logs", port, "blue")[1]
    (document,) = map(json.loads, say("logs", port, "blue", "--json")[1].splitlines())
    assert document["lines"][-1] == "evil \x1b[2J\ufffd\r x"


@pytest.mark.slow
def test_logs_of_what_ended_are_still_there(port, say):
    say("stop", port)
    services.path_of("127.0.0.1", port).unlink()
    assert say("logs", port, "router")[0] == 0


# ---- pages


def test_a_page_ends_and_starts_again(say):
    port = free_port()
    page = test_page_start.start(port)
    assert [*Path(".mlops/pages").glob("*.json")] == [pages.path_of("127.0.0.1", port)]
    Path("step/log.txt").write_text("hello\n")
    assert say("logs", port)[1] == "page: step/log.txt\n  hello\n"
    assert say("stop")[1] == f"127.0.0.1:{port}: page ended (process {page['pid']})\n"
    assert "page has ended" in say()[1]
    assert say("stop", port)[1] == f"nothing runs at {port}\n"
    assert test_page_start.start(port)["pid"] != page["pid"]


def test_a_page_whose_note_is_damaged_is_found_by_its_log(say):
    port, name = free_port(), ".mlops/steps/1a"
    Path(name).mkdir(parents=True)
    page = test_page_start.start(port, name)
    pages.path_of("127.0.0.1", port).write_text("{}")
    assert "is damaged" in say()[1]
    assert say("stop")[1] == f"127.0.0.1:{port}: page ended (process {page['pid']})\n"
    assert addresses.places() == []


@pytest.mark.slow
def test_a_note_of_an_older_version_is_read(say):
    port = free_port()
    page = test_page_start.start(port)
    note = pages.path_of("127.0.0.1", port)
    files.write_json(note, {"pid": page["pid"], "program": "toy_page"})
    assert f"page answers, process {page['pid']}" in say()[1]
    assert say("logs", port, "page")[0] == 2
    assert "page ended" in say("stop")[1]


def test_a_candidate_page_that_a_killed_run_left_is_told(say, monkeypatch):
    port = free_port()
    monkeypatch.setattr(_processes, "stop", lambda *_: os._exit(9))
    child = os.fork()
    if not child:
        test_page_start.start(port)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (place,) = addresses.places()
    assert place.port != port
    assert f"127.0.0.1:{place.port}: page ended" in say("stop")[1]
