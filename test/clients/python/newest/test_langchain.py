from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from arithmetic import ANSWER, MODEL, QUESTION, add, expected_turns, multiply


def run(model: ChatOpenAI, stream: bool) -> str:
    agent = create_agent(model, [add, multiply])
    question = {"messages": [{"role": "user", "content": QUESTION}]}
    if not stream:
        return agent.invoke(question)["messages"][-1].text
    parts = agent.stream(question, stream_mode="messages")
    return "".join(part.text for part, _ in parts if part.type == "AIMessageChunk")


def test_every_step_of_an_agent_is_one_turn(rollout, stream):
    model = ChatOpenAI(model=MODEL, base_url=rollout.base_url, api_key=rollout.api_key)
    assert run(model, stream) == ANSWER
    assert rollout.turns() == expected_turns(stream)


def test_the_environment_suffices(rollout, environment, stream):
    assert run(ChatOpenAI(model=MODEL), stream) == ANSWER
    assert rollout.turns() == expected_turns(stream)
