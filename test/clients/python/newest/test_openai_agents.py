import asyncio

import openai
import pytest
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_default_openai_api,
    set_default_openai_client,
)
from openai import AsyncOpenAI

from arithmetic import ANSWER, MODEL, QUESTION, add, expected_turns, multiply

OPENING = "system user"


async def run(model, stream: bool) -> str:
    tools = [function_tool(add), function_tool(multiply)]
    agent = Agent("Calculator", instructions="Use the tools.", tools=tools, model=model)
    if not stream:
        return (await Runner.run(agent, QUESTION)).final_output
    result = Runner.run_streamed(agent, QUESTION)
    async for _ in result.stream_events():
        pass
    return result.final_output


def test_every_step_of_an_agent_is_one_turn(rollout, stream):
    client = AsyncOpenAI(base_url=rollout.base_url, api_key=rollout.api_key)
    model = OpenAIChatCompletionsModel(MODEL, client)
    assert asyncio.run(run(model, stream)) == ANSWER
    assert rollout.turns() == expected_turns(stream, OPENING)


@pytest.fixture
def defaults(environment):
    """The package keeps its client for the process; here it is made anew."""
    set_default_openai_client(AsyncOpenAI())
    yield
    set_default_openai_api("responses")


def test_the_environment_and_one_line_suffice(rollout, defaults):
    set_default_openai_api("chat_completions")
    assert asyncio.run(run(MODEL, stream=True)) == ANSWER
    assert rollout.turns() == expected_turns(True, OPENING)


def test_as_it_comes_it_is_told_how_to_switch(rollout, defaults):
    with pytest.raises(openai.NotFoundError, match="chat_completions"):
        asyncio.run(run(MODEL, stream=False))
    assert rollout.turns() == []
