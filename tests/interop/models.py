"""A stand-in for the servers of models, which answers as Amazon Bedrock, OpenAI and Anthropic document.

Source: Amazon Bedrock API Reference (2023-09-30), `Converse`, `ConverseStream`, `InvokeModel`, `InvokeModelWithResponseStream`;
OpenAI API Reference (v1), "Chat", "Responses", "Embeddings"; Anthropic API Reference (2023-06-01), "Messages", "Streaming
messages"; Amazon Transcribe Developer Guide, "Event stream encoding".
"""

import base64
import binascii
import json
import struct

from stand_in import StandIn, serve

ANSWER = "geheim-answer"


def frame(name, content):
    """Returns an event of AWS's event stream."""
    headers = b""
    for key, value in ((":event-type", name), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = json.dumps(content).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


USAGE = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": ANSWER}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 5},
}
CONVERSE_STREAM = b"".join(
    [
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"delta": {"text": ANSWER}, "contentBlockIndex": 0}),
        frame("contentBlockStop", {"contentBlockIndex": 0}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}}),
    ]
)

ANTHROPIC = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x-2026",
    "content": [{"type": "text", "text": ANSWER}],
}
ANTHROPIC |= {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 7}}
ANTHROPIC_BEGUN = {**ANTHROPIC, "content": [], "stop_reason": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
ANTHROPIC_EVENTS = [
    {"type": "message_start", "message": ANTHROPIC_BEGUN},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ANSWER}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]
METRICS = {"inputTokenCount": 11, "outputTokenCount": 7, "invocationLatency": 5, "firstByteLatency": 3}
INVOKE_EVENTS = [*ANTHROPIC_EVENTS[:-1], {**ANTHROPIC_EVENTS[-1], "amazon-bedrock-invocationMetrics": METRICS}]
INVOKE_STREAM = b"".join(
    frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()}) for event in INVOKE_EVENTS
)

OPENAI_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
COMPLETION = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-x-2026", "usage": OPENAI_USAGE}
COMPLETION |= {"choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]}
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x-2026"}
CHUNKS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ANSWER}, "finish_reason": None}]},
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**CHUNK, "choices": [], "usage": OPENAI_USAGE},
]
EMBEDDINGS = {"object": "list", "model": "embed-x-2026", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]}
EMBEDDINGS |= {"usage": {"prompt_tokens": 11, "total_tokens": 11}}
RESPONSE_BEGUN = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-x-2026",
    "status": "in_progress",
    "output": [],
    "tools": [],
}
RESPONSE_BEGUN |= {"parallel_tool_calls": True, "tool_choice": "auto"}
OUTPUT = {"type": "output_text", "text": ANSWER, "annotations": []}
RESPONSE = {
    **RESPONSE_BEGUN,
    "status": "completed",
    "output": [{"id": "o1", "type": "message", "role": "assistant", "status": "completed", "content": [OUTPUT]}],
}
RESPONSE |= {"usage": {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}}
RESPONSE["usage"] |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
RESPONSE_EVENTS = [
    {"type": "response.created", "sequence_number": 0, "response": RESPONSE_BEGUN},
    {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "o1",
        "output_index": 0,
        "content_index": 0,
        "delta": ANSWER,
        "logprobs": [],
    },
    {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
]

EVENT_STREAM = "application/vnd.amazon.eventstream"
JSON = "application/json"
SERVER_SENT = "text/event-stream"


def as_events(events):
    """Returns server-sent events, with the name that each has."""
    return "".join(
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in events
    ).encode()


ANSWERS = {
    "/converse": (JSON, json.dumps(CONVERSE).encode()),
    "/converse-stream": (EVENT_STREAM, CONVERSE_STREAM),
    "/invoke": (JSON, json.dumps(ANTHROPIC).encode()),
    "/invoke-with-response-stream": (EVENT_STREAM, INVOKE_STREAM),
    "/chat/completions": (JSON, json.dumps(COMPLETION).encode()),
    "/embeddings": (JSON, json.dumps(EMBEDDINGS).encode()),
    "/messages": (JSON, json.dumps(ANTHROPIC).encode()),
    "/responses": (JSON, json.dumps(RESPONSE).encode()),
}
STREAMS = {
    "/chat/completions": (SERVER_SENT, as_events(CHUNKS) + b"data: [DONE]\n\n"),
    "/messages": (SERVER_SENT, as_events(ANTHROPIC_EVENTS)),
    "/responses": (SERVER_SENT, as_events(RESPONSE_EVENTS)),
}
# Answers of other servers than the clients' own, which pass through the clients as they are.
ODD = {
    "object": "chat.completion",
    "type": "message",
    "choices": "odd",
    "content": 7,
    "id": 3,
    "model": {"odd": 1},
    "stop_reason": 5,
    "usage": "odd",
}
ODD_EVENTS = [
    {"type": "message_start", "message": "odd"},
    {"type": "message_delta", "delta": 5, "usage": [1]},
    {"type": "message_stop", "choices": [{"delta": {}}], "usage": "odd"},
]
REFUSAL = {"type": "error", "message": "no such model", "error": {"message": "no such model", "type": "not_found_error"}}


def find_answer(path, request):
    """Returns the type and the content of the answer to a request, or `None` for one that fails."""
    if "fail" in path or request.get("model") == "fail":
        return None
    if request.get("model") == "odd":
        return (SERVER_SENT, as_events(ODD_EVENTS)) if request.get("stream") else (JSON, json.dumps(ODD).encode())
    path = path.partition("?")[0]
    answers = STREAMS if request.get("stream") else ANSWERS
    return next(found for end, found in answers.items() if path.endswith(end))


class Handler(StandIn):
    def do_POST(self):
        found = find_answer(self.path, json.loads(self.read() or "{}"))
        kind, content = found or (JSON, json.dumps(REFUSAL).encode())
        headers = {"content-type": kind, "x-amzn-errortype": "ValidationException"}
        self.answer(content, 200 if found else 400, headers)


def serve_models():
    """Starts the server. Returns its URL."""
    return serve(Handler).url
