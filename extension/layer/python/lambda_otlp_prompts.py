"""Describes prompts and answers of models for their spans, if OpenTelemetry's variable asks for them. prompts.cjs does the same
in Node, and both pass tests/fixtures/prompts.jsonl.

One reading serves Amazon Bedrock, OpenAI and Anthropic, whose requests, answers and events differ in their keys.

Source: OpenTelemetry's semantic conventions, "Spans for generative AI client operations", and the schemas of
`gen_ai.input.messages`, `gen_ai.output.messages` and `gen_ai.system_instructions`; the references that lambda_otlp_models.py
names; Amazon Bedrock API Reference, "Converse" and "ConverseStream"; Amazon Bedrock User Guide, "Inference request parameters".
"""

import functools
import json
from collections.abc import Mapping

# Number of characters of an attribute that are kept.
MAX_CHARS = 16384
# Number of characters that each part of a message counts in addition to its text.
PART_OVERHEAD = 64
# Number of characters of a name or an id that are kept.
MAX_NAME = 256
# Number of blocks of a stream that are kept.
MAX_BLOCKS = MAX_CHARS // PART_OVERHEAD
# The values of a part that can be long.
LONG = ("arguments", "content", "response")
# Keys of requests and of answers. A model of Amazon Bedrock can have a prompt in place of messages.
SYSTEM = ("system", "instructions")
MESSAGES = ("messages", "input", "prompt", "inputText", "message")
REASONS = ("finish_reason", "stop_reason", "stopReason", "completionReason")
CALLS = ("tool_use", "server_tool_use", "function_call", "function")
RESULTS = ("tool_result", "function_call_output")
IDS = ("toolUseId", "tool_use_id", "tool_call_id", "call_id", "id")
# Keys of the index of a block in a stream.
INDEXES = ("contentBlockIndex", "index")


def value_of(item, *names):
    """Returns the first value of these names in a client's model or in a mapping, or `None`."""
    if type(item).__module__ == "builtins" and not isinstance(item, dict):
        # A text and a list have methods of these names.
        return None
    get = item.get if isinstance(item, Mapping) else functools.partial(getattr, item)
    return next((value for name in names if (value := get(name, None)) is not None), None)


def values_of(items):
    return items if isinstance(items, (list, tuple)) else ()


def of_request(request):
    """Returns the attributes of a request."""
    found = {}
    if system := value_of(request, *SYSTEM):
        found["gen_ai.system_instructions"] = Space().parts(parts_of(system))
    if messages := value_of(request, *MESSAGES):
        items = [{"role": "user", "content": messages}] if isinstance(messages, str) else values_of(messages)
        found["gen_ai.input.messages"] = fitted([message_of(item) for item in items])
    return {name: json.dumps(value, ensure_ascii=False, separators=(",", ":")) for name, value in found.items() if value}


class Answer:
    """What a model has answered, in one response or in the events of a stream."""

    def __init__(self):
        # The messages of a complete response.
        self.complete = []
        # The blocks of a stream by the number of the choice and the index, and the reason of each choice.
        self.blocks = {}
        self.reasons = {}

    def add(self, content):
        """Adds a response or an event."""
        response = value_of(content, "response")
        if messages := answers_of(content if response is None else response):
            self.complete = messages
            return
        self.add_blocks(content)
        for choice in values_of(value_of(content, "choices")):
            delta = value_of(choice, "delta")
            index = value_of(choice, "index")
            number = index if isinstance(index, int) else 0
            self.note_reason(number, choice)
            for name, kind in (("content", "text"), ("refusal", "text"), ("reasoning_content", "reasoning")):
                self.extend(number, name, {"type": kind}, key="content", text=value_of(delta, name))
            for call in values_of(value_of(delta, "tool_calls")):
                index = ("call", value_of(call, "index"))
                arguments = value_of(value_of(call, "function"), "arguments")
                self.extend(number, index, {**part_of(call), "arguments": ""}, key="arguments", text=arguments)

    def add_blocks(self, event):
        """Adds an event of Amazon Bedrock or Anthropic. Both tell the start of a block, its text, and the reason at the end."""
        start = value_of(event, "contentBlockStart")
        change = value_of(event, "contentBlockDelta", "delta")
        index = value_of(start or value_of(event, "contentBlockDelta") or event, *INDEXES)
        block = value_of(event, "content_block") or value_of(start, "start")
        delta = value_of(change, "delta") or change
        for source in (event, delta, value_of(event, "messageStop")):
            self.note_reason(0, source)
        if block is not None:
            started = part_of(block)
            key = "arguments" if started["type"] == "tool_call" else "content"
            if key in started:
                self.extend(0, index, {**started, key: ""}, key=key, text="")
        text = value_of(delta, "text") or value_of(event, "outputText")
        reasoning = value_of(delta, "thinking") or value_of(value_of(delta, "reasoningContent"), "text")
        arguments = value_of(delta, "partial_json") or value_of(value_of(delta, "toolUse"), "input")
        self.extend(0, index, {"type": "text"}, key="content", text=text)
        self.extend(0, index, {"type": "reasoning"}, key="content", text=reasoning)
        self.extend(0, index, {"type": "tool_call"}, key="arguments", text=arguments)

    def note_reason(self, number, source):
        reason = value_of(source, *REASONS)
        if isinstance(reason, str):
            self.reasons[number] = reason

    def extend(self, number, index, started, *, key, text):
        """Adds text to the value `key` of a block of a choice. The block is `started` if no event has begun it."""
        place = (number, index if isinstance(index, (int, str, tuple)) else None)
        if not isinstance(text, str) or place not in self.blocks and len(self.blocks) >= MAX_BLOCKS:
            return
        block = self.blocks.setdefault(place, started)
        before = block.get(key) or ""
        # The limit of the attribute holds for each block, so that a long stream needs no memory.
        block[key] = before + text[: max(0, MAX_CHARS + 1 - len(before))]

    def attributes(self):
        messages = list(self.complete)
        for choice in dict.fromkeys(number for number, _ in self.blocks) if not messages else ():
            parts = [block for (number, _), block in self.blocks.items() if number == choice]
            messages.append(answer("assistant", parts, self.reasons.get(choice)))
        fit = fitted(messages)
        return {"gen_ai.output.messages": json.dumps(fit, ensure_ascii=False, separators=(",", ":"))} if fit else {}


def answers_of(response):
    """Returns the messages of a complete response, or none of an event of a stream."""
    found = []
    for choice in values_of(value_of(response, "choices", "results", "outputs")):
        message = value_of(choice, "message")
        if message is not None:
            found.append({**message_of(message), "finish_reason": value_of(choice, *REASONS)})
        elif text := value_of(choice, "outputText", "text"):
            found.append(answer("assistant", parts_of(text), value_of(choice, *REASONS)))
    output = value_of(response, "output")
    reason = value_of(response, *REASONS, "status")
    reason = "stop" if reason == "completed" else reason
    message = value_of(output, "message")
    if message is not None:
        found.append({**message_of(message), "finish_reason": reason})
    elif values_of(output):
        parts = [part for item in output for part in message_of(item)["parts"]]
        found.append(answer("assistant", parts, reason))
    elif value_of(response, "role") and values_of(value_of(response, "content")):
        found.append({**message_of(response), "finish_reason": reason})
    elif text := value_of(response, "generation"):
        found.append(answer("assistant", parts_of(text), reason))
    return found


def answer(role, parts, reason):
    return {"role": role, "parts": parts, "finish_reason": reason}


def message_of(item):
    """Returns a message with its role and parts. Items of OpenAI's Responses API can be calls of tools or their results."""
    if isinstance(item, str):
        return {"role": "user", "parts": parts_of(item)}
    role = value_of(item, "role")
    content = value_of(item, "content", "summary")
    kind = value_of(item, "type")
    if role == "tool":
        result = {"type": "tool_call_response", "id": value_of(item, *IDS), "response": response_of(value_of(item, "content"))}
        return {"role": role, "parts": [result]}
    if role is None and kind in (*CALLS, *RESULTS):
        return {"role": "tool" if kind in RESULTS else "assistant", "parts": [part_of(item)]}
    if kind == "reasoning":
        return {"role": "assistant", "parts": [{"type": kind, "content": part.get("content")} for part in parts_of(content)]}
    calls = [part_of(call) for call in values_of(value_of(item, "tool_calls"))]
    return {"role": str(role or "user"), "parts": [*parts_of(content), *calls]}


def parts_of(content):
    blocks = [content] if isinstance(content, str) else values_of(content)
    return [part_of(block) for block in blocks]


def part_of(block):
    """Returns a part of a message. Of images and other files, only the type is kept."""
    if isinstance(block, str):
        return {"type": "text", "content": block}
    kind = value_of(block, "type")
    call = value_of(block, "toolUse", "function")
    result = value_of(block, "toolResult")
    if call is not None or kind in CALLS:
        arguments = value_of(call or block, "input", "arguments")
        return {
            "type": "tool_call",
            "id": value_of(call or block, *IDS) or value_of(block, *IDS),
            "name": value_of(call or block, "name"),
            "arguments": arguments,
        }
    if result is not None or kind in RESULTS:
        response = value_of(result or block, "content", "output")
        return {"type": "tool_call_response", "id": value_of(result or block, *IDS), "response": response_of(response)}
    reasoning = value_of(block, "reasoningContent")
    if reasoning is not None or kind == "thinking":
        return {
            "type": "reasoning",
            "content": value_of(value_of(reasoning, "reasoningText"), "text") or value_of(block, "thinking"),
        }
    text = value_of(block, "text", "refusal")
    if isinstance(text, str):
        return {"type": "text", "content": text}
    keys = list(block) if isinstance(block, Mapping) else []
    return {"type": str(kind or next(iter(keys), "unknown"))}


def response_of(content):
    """Returns the result of a tool: its value, its only text, or its parts."""
    parts = values_of(content)
    if not parts:
        return content
    found = [value_of(part, "json") or part_of(part) for part in parts]
    return found[0].get("content", found[0]) if len(found) == 1 and isinstance(found[0], Mapping) else found


def fitted(messages):
    """Returns as many of the newest messages as fit, of which the oldest is cut."""
    space = Space()
    kept = []
    for message in reversed(messages):
        if space.left <= 0:
            break
        kept.append({**message, "parts": space.parts(message["parts"])})
    found = [{name: value for name, value in message.items() if value is not None} for message in reversed(kept)]
    return [message for message in found if message["parts"]]


class Space:
    """The characters that are left for an attribute."""

    def __init__(self):
        self.left = MAX_CHARS

    def parts(self, parts):
        kept = []
        for part in parts:
            if self.left <= 0:
                break
            self.left -= PART_OVERHEAD
            kept.append({name: self.value(name, value) for name, value in part.items() if value is not None})
        return kept

    def value(self, name, value):
        if name not in LONG:
            return str(value)[:MAX_NAME]
        if isinstance(value, str):
            return self.text(value)
        # Bytes, such as those of an image, and other values than JSON's.
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=lambda _: "?")
        if len(encoded) > self.left:
            return self.text(encoded)
        self.left -= len(encoded)
        return json.loads(encoded)

    def text(self, text):
        left = max(0, self.left)
        self.left -= len(text)
        return text if len(text) <= left else f"{text[:left]}..."
