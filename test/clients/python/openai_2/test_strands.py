from strands import Agent, tool
from strands.models.openai import OpenAIModel

from arithmetic import ANSWER, MODEL, QUESTION, add, expected_turns, multiply


def run(model: OpenAIModel) -> str:
    agent = Agent(model=model, tools=[tool(add), tool(multiply)], callback_handler=None)
    return str(agent(QUESTION)).strip()


def test_every_step_of_an_agent_is_one_turn(rollout, stream):
    to = {"base_url": rollout.base_url, "api_key": rollout.api_key}
    assert run(OpenAIModel(client_args=to, model_id=MODEL, stream=stream)) == ANSWER
    assert rollout.turns() == expected_turns(stream)


def test_the_environment_suffices_and_it_streams(rollout, environment):
    assert run(OpenAIModel(model_id=MODEL)) == ANSWER
    assert rollout.turns() == expected_turns(stream=True)
