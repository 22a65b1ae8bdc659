"""A turnpike process on free ports, and what its simulator has captured."""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

REPOSITORY = Path(__file__).resolve().parents[3]

FREE_PORTS = ("--port", "0", "--ops-port", "0", "--simulator-port", "0")


class Turnpike:
    """Runs `turnpike <arguments>` until the `with` ends; `printed` is what it says at its start."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None):
        self._arguments = arguments
        self._environment = environment or {}

    def __enter__(self) -> "Turnpike":
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            ["node", str(REPOSITORY / "src/main.ts"), *self._arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # No HOME of anyone's: what is tested is what a clean machine does.
            env={"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir()}
            | self._environment,
        )
        self.printed = ""
        for line in self._process.stdout:
            self.printed += line
            if line.startswith("Turns"):
                return self
        self._log.seek(0)
        raise RuntimeError(f"turnpike ended at its start:\n{self.printed}{self._log.read()}")

    def __exit__(self, *_):
        self._process.terminate()
        self._process.communicate(timeout=30)
        self._log.close()

    def says(self, pattern: str) -> str:
        return re.search(pattern, self.printed, re.MULTILINE).group(1)

    @property
    def url(self) -> str:
        return self.says(r"gateway (http://[^,\s]+)")

    @property
    def simulator_url(self) -> str:
        return self.says(r"curl (http://\S+)/_simulator/turns")

    def turns(self, trajectory: str) -> list[dict]:
        """Every captured turn of a trajectory, oldest first."""
        url = f"{self.simulator_url}/_simulator/turns.jsonl?trajectory={quote(trajectory, safe='')}"
        with urlopen(url) as answer:
            return [json.loads(line) for line in answer]

    def trajectory(self, trajectory: str) -> dict | None:
        """State, rewards and lifecycle calls of a trajectory."""
        with urlopen(f"{self.simulator_url}/_simulator/trajectories") as answer:
            return next((t for t in json.load(answer) if t["trajectoryId"] == trajectory), None)

    def put_faults(self, *faults: dict) -> None:
        url = f"{self.simulator_url}/_simulator/faults"
        urlopen(Request(url, json.dumps(faults).encode(), method="PUT")).close()


@dataclass(frozen=True)
class Rollout:
    """One trajectory of a running turnpike, and how an agent is pointed at it."""

    turnpike: Turnpike
    id: str

    @property
    def base_url(self) -> str:
        return f"{self.turnpike.url}/rollouts/{quote(self.id, safe='')}/v1"

    @property
    def api_key(self) -> str:
        return f"rollout-{self.id}"

    def turns(self) -> list[dict]:
        """Per turn: the operation, who spoke, what the tools had said."""
        return [_summary(turn) for turn in self.turnpike.turns(self.id)]


def _summary(turn: dict) -> dict:
    messages = json.loads(turn["request"]["body"]["text"])["messages"]
    return {
        "sequence": turn["sequence"],
        "operation": turn["operation"],
        "outcome": turn["outcome"],
        "roles": " ".join(message["role"] for message in messages),
        "results": [_text(m["content"]) for m in messages if m["role"] == "tool"],
    }


def _text(content: str | list[dict] | None) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])
