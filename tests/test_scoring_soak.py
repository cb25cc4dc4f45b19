"""Ten thousand requests of all sorts at 32 connections: good ones are answered, memory stays."""

import http.client
import random
import threading
from collections import Counter
from pathlib import Path

import pytest
import small_bundle
from scoring import serving
from test_scoring import BLUE, GREEN, RED, form_of
from test_scoring_bad_input import REFUSED

pytestmark = pytest.mark.slow
REQUESTS, CONNECTIONS = 10_000, 32
GOOD = [(RED, "red"), (GREEN, "green"), (BLUE, "blue")]
BAD = [
    (body, status) for name, (body, status, _) in REFUSED.items() if len(body) < 100_000 and body
]


def memory_of(pid):
    """MB that a process has in memory."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("LOUD: no /proc here: nobody looked at the memory of a service")
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def client(port, share, seed, ended):
    """Sends requests over one connection after the other; notes how each of them ended."""
    chance, line = random.Random(seed), None
    for _ in range(share):
        line = line or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        kind = chance.random()
        try:
            if kind < 0.7:
                body, label = chance.choice(GOOD)
                said = asked(line, body)
                ended["good" if f'"label":"{label}"' in said[1] and said[0] == 200 else said] += 1
            elif kind < 0.8:
                body, form = form_of(RED, GREEN)
                said = asked(line, body, form)
                ended["good" if said[0] == 200 else said] += 1
            elif kind < 0.97:
                body, status = chance.choice(BAD)
                ended["refused" if asked(line, body)[0] == status else status] += 1
            else:  # hangs up in the middle
                line.putrequest("POST", "/score")
                line.putheader("Content-Length", "5000")
                line.endheaders(RED[:40])
                line.close()
                line = None
                ended["hung up"] += 1
        except (OSError, http.client.HTTPException) as error:
            ended[repr(error)] += 1
            line = None
    if line:
        line.close()


def asked(line, body, form="image/png"):
    line.request("POST", "/score", body, {"Content-Type": form})
    answer = line.getresponse()
    return answer.status, answer.read().decode()


def crowd(port, requests, seed):
    """How so many requests ended, of all the clients."""
    ended = [Counter() for _ in range(CONNECTIONS)]
    threads = [
        threading.Thread(target=client, args=(port, requests // CONNECTIONS, seed + i, each))
        for i, each in enumerate(ended)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(ended, Counter())


def test_ten_thousand_requests_end_as_they_should(tmp_path):
    folder = small_bundle.make(tmp_path / "bundle")
    with serving(folder, tmp_path / "service", max_waiting=1000) as service:
        first = crowd(service.port, REQUESTS // 4, 0)
        before = memory_of(service.process.pid)
        rest = crowd(service.port, 3 * REQUESTS // 4, 1000)
        after = memory_of(service.process.pid)
        assert {*first, *rest} == {"good", "refused", "hung up"}, first + rest
        assert after < before + 20
        text = service.log.read_text("utf-8")
        assert "Traceback" not in text
        assert '"status": 500' not in text
        assert "scoring_waiting_images 0.0" in service.ask("GET", "/metrics")[2]
