import asyncio
import json

import openai
import pytest

from arithmetic import ANSWER, MODEL, QUESTION, SPECIFICATIONS, TOOLS, expected_turns
from turnpike import Rollout


def ask(client: openai.OpenAI, messages: list, stream: bool):
    request = {"model": MODEL, "messages": messages, "tools": SPECIFICATIONS}
    if not stream:
        return client.chat.completions.create(**request).choices[0].message
    with client.chat.completions.stream(**request) as events:
        for _ in events:
            pass
        return events.get_final_completion().choices[0].message


def run(client: openai.OpenAI, stream: bool) -> str:
    messages = [{"role": "user", "content": QUESTION}]
    while True:
        message = ask(client, messages, stream)
        if not message.tool_calls:
            return message.content
        messages.append(message.to_dict() if not stream else message.model_dump(exclude={"parsed"}))
        for call in message.tool_calls:
            result = TOOLS[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def client_of(rollout: Rollout) -> openai.OpenAI:
    return openai.OpenAI(base_url=rollout.base_url, api_key=rollout.api_key)


def test_every_step_of_a_tool_loop_is_one_turn(rollout, stream):
    assert run(client_of(rollout), stream) == ANSWER
    assert rollout.turns() == expected_turns(stream)


def test_the_environment_suffices(rollout, environment):
    assert run(openai.OpenAI(), stream=True) == ANSWER
    assert rollout.turns() == expected_turns(stream=True)


def test_custom_headers_name_the_trajectory(turnpike, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{turnpike.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-agent")
    header = "X-Amzn-SageMaker-Trajectory-Id: by-header"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", header)
    assert run(openai.OpenAI(), stream=False) == ANSWER
    assert Rollout(turnpike, "by-header").turns() == expected_turns(stream=False)


def test_agents_at_the_same_time_are_kept_apart(rollout):
    rollouts = [Rollout(rollout.turnpike, f"{rollout.id} {index}") for index in range(8)]

    async def run_all():
        runs = [
            asyncio.to_thread(run, client_of(each), index % 2 == 0)
            for index, each in enumerate(rollouts)
        ]
        return await asyncio.gather(*runs)

    assert asyncio.run(run_all()) == [ANSWER] * 8
    for index, each in enumerate(rollouts):
        assert each.turns() == expected_turns(index % 2 == 0)


@pytest.fixture
def faults(rollout):
    def put(**fault) -> None:
        rollout.turnpike.put_faults({"trajectory": rollout.id, **fault})

    yield put
    rollout.turnpike.put_faults()


def test_a_throttled_call_is_retried_and_captured_once(rollout, stream, faults):
    faults(kind="throttle", times=1, retryAfterSeconds=0)
    assert run(client_of(rollout), stream) == ANSWER
    assert rollout.turns() == expected_turns(stream)


def test_an_ambiguous_reset_is_not_retried(rollout, faults):
    faults(kind="reset-after-capture")
    with pytest.raises(openai.APIStatusError) as thrown:
        run(client_of(rollout), stream=False)
    assert thrown.value.response.headers["x-should-retry"] == "false"
    assert len(rollout.turns()) == 1


def test_a_broken_stream_raises(rollout, faults):
    faults(kind="truncate-frame", event=9)
    with pytest.raises(openai.APIError, match="ended inside a frame"):
        run(client_of(rollout), stream=True)
    assert len(rollout.turns()) == 1


def test_errors_have_class_code_and_request_id(rollout, faults):
    faults(kind="validation")
    with pytest.raises(openai.BadRequestError) as thrown:
        run(client_of(rollout), stream=False)
    assert thrown.value.code == "service_validation"
    assert thrown.value.request_id


def test_responses_says_how_to_switch(rollout):
    with pytest.raises(openai.NotFoundError, match="chat"):
        client_of(rollout).responses.create(model=MODEL, input=QUESTION)
    assert rollout.turns() == []
