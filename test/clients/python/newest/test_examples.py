import pytest

from example import expect_rewarded


@pytest.mark.parametrize("file", ["agent_openai.py", "agent_langchain.py"])
def test_an_example_has_its_turns_captured_and_its_reward_received(file):
    expect_rewarded(file)
