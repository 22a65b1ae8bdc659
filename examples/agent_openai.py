"""A support agent with one tool, with the openai package. See README.md."""

import json

from openai import OpenAI

from rollout import complete, order_status, register

PARAMETERS = {
    "type": "object",
    "properties": {"order": {"type": "string", "enum": ["A-17", "B-4"]}},
    "required": ["order"],
}
TOOLS = [{"type": "function", "function": {"name": "order_status", "parameters": PARAMETERS}}]


def answer_question(client: OpenAI, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    for _ in range(5):
        completion = client.chat.completions.create(model="default", messages=messages, tools=TOOLS)
        message = completion.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            result = order_status(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return ""


rollout = register()
client = OpenAI(base_url=rollout["base_url"], api_key=rollout["api_key"])
complete(rollout, answer_question(client, "Where is order A-17?"))
