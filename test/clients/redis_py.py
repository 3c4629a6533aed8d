"""redis-py: see test/clients/run."""
import sys
import time

import redis


def until_done(what):
    """Does what has no harm in being done twice until it works."""
    end = time.monotonic() + 30
    while True:
        try:
            return what()
        except redis.RedisError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def connect(host, port):
    return redis.Redis(host, int(port), client_name="redis-py", decode_responses=True, socket_timeout=10)


def main():
    host, follower, leader = sys.argv[1:]
    print("version", redis.__version__, flush=True)
    client = connect(host, follower)
    at_leader = connect(host, leader)

    assert client.ping()
    assert client.client_getname() == "redis-py"
    info = client.info()
    assert info["redis_version"].startswith("7.") and info["role"] == "master" and info["loading"] == 0
    assert client.config_get("save") == {"save": ""}
    assert any(line["name"] == "redis-py" for line in client.client_list())
    assert client.client_info()["id"] == client.client_id()
    assert client.command()["mset"]["step_count"] == 2
    assert client.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]
    assert client.time()[0] > 1600000000

    assert client.set("redis-py", "wert äöü") is True
    assert client.get("redis-py") == "wert äöü"
    assert at_leader.get("redis-py") == "wert äöü"
    assert client.get("redis-py-none") is None
    assert client.set("redis-py", "x", nx=True) is None
    large = "x" * 1024 * 1024
    client.set("redis-py-large", large)
    assert client.get("redis-py-large") == large
    client.delete("redis-py-n", "redis-py-large")
    assert client.mget("redis-py", "redis-py-none") == ["wert äöü", None]
    assert info["db0"]["keys"] >= 0
    try:
        client.incr("redis-py")
        raise AssertionError("INCR of a text was accepted")
    except redis.ResponseError as error:
        assert "not an integer" in str(error)

    pipeline = client.pipeline(transaction=False)
    for _ in range(200):
        pipeline.incr("redis-py-n").get("redis-py-n")
    assert pipeline.execute() == [reply for i in range(1, 201) for reply in (i, str(i))]

    client.set("redis-py-kept", "before")
    print("kill", flush=True)
    assert sys.stdin.readline() == "killed\n"
    until_done(lambda: client.set("redis-py-new", "after"))
    assert until_done(lambda: client.get("redis-py-kept")) == "before"
    try:
        at_leader.get("redis-py-kept")
        raise AssertionError("a node that was killed has answered")
    except redis.ConnectionError:
        pass
    again = connect(host, follower)
    assert until_done(lambda: again.get("redis-py-new")) == "after"
    assert until_done(lambda: again.get("redis-py-n")) == "200"


main()
