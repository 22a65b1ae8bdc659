import json

import litellm

from arithmetic import ANSWER, MODEL, QUESTION, SPECIFICATIONS, TOOLS, expected_turns


def ask(messages: list, stream: bool, **to):
    answer = litellm.completion(
        model=f"openai/{MODEL}", messages=messages, tools=SPECIFICATIONS, stream=stream, **to
    )
    if stream:
        answer = litellm.stream_chunk_builder(list(answer), messages=messages)
    return answer.choices[0].message


def run(stream: bool, **to) -> str:
    messages = [{"role": "user", "content": QUESTION}]
    while True:
        message = ask(messages, stream, **to)
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = TOOLS[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def test_every_step_of_a_tool_loop_is_one_turn(rollout, stream):
    assert run(stream, api_base=rollout.base_url, api_key=rollout.api_key) == ANSWER
    assert rollout.turns() == expected_turns(stream)


def test_the_environment_suffices(rollout, environment, stream):
    assert run(stream) == ANSWER
    assert rollout.turns() == expected_turns(stream)
