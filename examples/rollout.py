"""What an agent that trains does beside its work: name its rollout before, say its reward after."""

import json
import os
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8484/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "turnpike")


def register() -> dict:
    rollout = _post("/rollouts", {"id": f"order-{uuid4()}"})
    print(f"rollout {rollout['id']}")
    # Null where turnpike asks for a key of its own.
    rollout["api_key"] = rollout["api_key"] or API_KEY
    return rollout


def complete(rollout: dict, answer: str) -> None:
    print(f"answer  {answer}")
    reward = 1.0 if "shipped" in answer else 0.0
    done = _post(f"/rollouts/{quote(rollout['id'], safe='')}/complete", {"reward": reward})
    print(f"reward  {reward:g}, {done['turns']['finished']} turns, {done['state']}")


def order_status(order: str) -> str:
    status = {"A-17": "shipped on Monday", "B-4": "waiting for parts"}.get(order, "unknown")
    print(f"tool    order_status {order} → {status}")
    return status


def _post(path: str, body: dict) -> dict:
    url = urlsplit(BASE_URL)
    headers = {"content-type": "application/json", "authorization": f"Bearer {API_KEY}"}
    request = Request(f"{url.scheme}://{url.netloc}{path}", json.dumps(body).encode(), headers)
    with urlopen(request) as response:
        return json.load(response)
