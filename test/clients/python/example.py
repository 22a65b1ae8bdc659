"""Runs an example as a user starts it, beside a gateway of its own that asks for a key."""

import os
import re
import subprocess
import sys

from turnpike import FREE_PORTS, REPOSITORY, Turnpike

API_KEY = "a-key-of-the-examples"


def expect_rewarded(file: str) -> None:
    with Turnpike("dev", *FREE_PORTS, environment={"TURNPIKE_API_KEY": API_KEY}) as turnpike:
        to = {"OPENAI_BASE_URL": f"{turnpike.url}/v1", "OPENAI_API_KEY": API_KEY}
        command = [sys.executable, str(REPOSITORY / "examples" / file)]
        ran = subprocess.run(command, env={**os.environ, **to}, stdout=subprocess.PIPE, text=True)
        assert ran.returncode == 0
        trajectory = re.search(r"^rollout (\S+)$", ran.stdout, re.MULTILINE).group(1)
        captured = turnpike.trajectory(trajectory)
        assert (captured["state"], captured["turnCount"]) == ("REWARD_RECEIVED", 2)
        assert captured["rewards"] == [1.0]
        assert re.search(r"^answer .*shipped on Monday", ran.stdout, re.MULTILINE)
        assert re.search(r"^reward  1, 2 turns, ", ran.stdout, re.MULTILINE)
