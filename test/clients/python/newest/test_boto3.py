"""The AWS SDK's own client, straight against the simulator: the simulator must be what the service's model says."""

import json

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError

from arithmetic import ANSWER, MODEL, QUESTION, SCRIPT, SPECIFICATIONS, TOOLS, expected_turns
from turnpike import Rollout, Turnpike

JOB = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/by-boto3"


@pytest.fixture(scope="session")
def simulator():
    with Turnpike("simulate", "--port", "0", "--script", SCRIPT) as running:
        yield running


@pytest.fixture
def exported(simulator, monkeypatch):
    """What `turnpike simulate` says to export."""
    for line in simulator.printed.splitlines():
        if line.strip().startswith("export "):
            name, value = line.strip().removeprefix("export ").split("=", 1)
            monkeypatch.setenv(name, value)
    # The variable botocore reads.
    monkeypatch.setenv("AWS_DEFAULT_REGION", simulator.says(r"AWS_REGION=(\S+)"))


@pytest.fixture
def service(exported):
    return boto3.Session().client("sagemakerjobruntime", config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def trajectory(simulator, request):
    return Rollout(simulator, f"boto3 {request.node.name}")


@pytest.fixture
def faults(simulator, trajectory):
    yield lambda **fault: simulator.put_faults({"trajectory": trajectory.id, **fault})
    simulator.put_faults()


def names(trajectory: Rollout) -> dict[str, str]:
    return {"JobArn": JOB, "TrajectoryId": trajectory.id}


def body(messages: list, **fields) -> bytes:
    return json.dumps({"model": MODEL, "messages": messages, **fields}).encode()


def hello() -> bytes:
    return body([{"role": "user", "content": "Hello"}])


def test_sample_takes_a_tool_loop_and_captures_the_bytes(service, trajectory):
    messages = [{"role": "user", "content": QUESTION}]
    while True:
        sent = body(messages, tools=SPECIFICATIONS)
        answer = service.sample(**names(trajectory), Body=sent)
        assert answer["ContentType"] == "application/json"
        message = json.loads(answer["Body"].read())["choices"][0]["message"]
        captured = trajectory.turnpike.turns(trajectory.id)[-1]
        assert captured["request"]["body"]["text"].encode() == sent
        assert captured["requestId"] == answer["ResponseMetadata"]["RequestId"]
        messages.append(message)
        if "tool_calls" not in message:
            break
        for call in message["tool_calls"]:
            result = TOOLS[call["function"]["name"]](**json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    assert message["content"] == ANSWER
    assert trajectory.turns() == expected_turns(stream=False)


def test_the_streams_frames_pass_botocores_own_parser(service, trajectory):
    answer = service.sample_with_response_stream(**names(trajectory), Body=hello())
    assert answer["ContentType"] == "application/vnd.amazon.eventstream"
    frames = EventStreamBuffer()
    frames.add_data(answer["Body"].read())
    events = [event.to_response_dict() for event in frames]
    assert {event["headers"][":event-type"] for event in events} == {"PayloadPart"}
    text = b"".join(event["body"] for event in events).decode()
    assert text.startswith("data: {") and text.endswith("data: [DONE]\n\n")
    assert [turn["operation"] for turn in trajectory.turns()] == ["SampleWithResponseStream"]


def test_a_damaged_frame_fails_botocores_checksum(service, trajectory, faults):
    faults(kind="corrupt-crc", event=1)
    answer = service.sample_with_response_stream(**names(trajectory), Body=hello())
    frames = EventStreamBuffer()
    frames.add_data(answer["Body"].read())
    with pytest.raises(Exception, match="[Cc]hecksum mismatch"):
        list(frames)


def test_a_rollout_goes_from_pending_over_ready_to_rewarded(service, trajectory, simulator):
    state = lambda: simulator.trajectory(trajectory.id)["state"]  # noqa: E731
    service.sample(**names(trajectory), Body=hello())
    assert state() == "PENDING"
    for _ in range(2):
        service.complete_rollout(**names(trajectory), Status="ready", ClientToken="complete-1")
    assert state() == "READY"
    for _ in range(2):
        service.update_reward(**names(trajectory), Rewards=[0.25, 1.0], ClientToken="reward-1")
    assert state() == "REWARD_RECEIVED"
    assert simulator.trajectory(trajectory.id)["rewards"] == [0.25, 1.0]
    applied = [(c["operation"], c["applied"], c["timesSeen"]) for c in simulator.trajectory(trajectory.id)["lifecycle"]]
    assert applied == [("CompleteRollout", True, 2), ("UpdateReward", True, 2)]


def test_a_completion_is_ready_unless_it_says_otherwise(service, trajectory, simulator):
    service.complete_rollout(**names(trajectory))
    assert simulator.trajectory(trajectory.id)["state"] == "READY"


ERRORS = [
    ("validation", "ValidationException", 400),
    ("quota", "ServiceQuotaExceededException", 402),
    ("access-denied", "AccessDeniedException", 403),
    ("not-found", "ResourceNotFoundException", 404),
    ("throttle", "ThrottlingException", 429),
    ("internal-error", "InternalServiceError", 500),
]


@pytest.mark.parametrize(("fault", "name", "status"), ERRORS)
@pytest.mark.parametrize("operation", ["sample", "sample_with_response_stream", "complete_rollout", "update_reward"])
def test_errors_are_the_models(service, trajectory, faults, operation, fault, name, status):
    faults(kind=fault, message="as injected")
    members = {"update_reward": {"Rewards": [1.0]}, "complete_rollout": {}}.get(operation, {"Body": hello()})
    with pytest.raises(getattr(service.exceptions, name)) as thrown:
        getattr(service, operation)(**names(trajectory), **members)
    response = thrown.value.response
    assert response["Error"] == {"Code": name, "Message": "as injected"}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["ResponseMetadata"]["RequestId"]


def test_a_sealed_trajectory_conflicts(service, trajectory):
    service.complete_rollout(**names(trajectory))
    with pytest.raises(service.exceptions.ConflictException, match="Cannot transition trajectory"):
        service.complete_rollout(**names(trajectory), Status="failed")
    service.update_reward(**names(trajectory), Rewards=[1.0])
    with pytest.raises(service.exceptions.ConflictException, match="not in valid status"):
        service.update_reward(**names(trajectory), Rewards=[2.0])


def test_a_wrong_secret_is_refused_by_its_signature(exported, trajectory, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    stranger = boto3.Session().client("sagemakerjobruntime")
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        stranger.sample(**names(trajectory), Body=hello())
    assert trajectory.turns() == []


def test_botocore_resends_what_the_model_calls_retryable(exported, trajectory, faults):
    faults(kind="throttle", times=1, operations=["UpdateReward"])
    service = boto3.Session().client("sagemakerjobruntime")
    service.complete_rollout(**names(trajectory))
    answer = service.update_reward(**names(trajectory), Rewards=[1.0])
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
