from example import expect_rewarded


def test_the_example_has_its_turns_captured_and_its_reward_received():
    expect_rewarded("agent_strands.py")
