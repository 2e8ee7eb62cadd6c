#!/usr/bin/env python3
"""The demo model over the public HTTP API: the same answers on 1, 2 and 4 ranks, alone and among sixteen; streams; refusals."""
import concurrent.futures
import json
import os
import re
import subprocess
import unittest

import served

QUESTIONS = [
    "What is the capital of France?", "What is 7 plus 5?", "What day comes after Monday?", "What is the opposite of hot?",
    "What colour is the sky?", "Which month comes before March?", "What is 9 minus 4?", "What is the capital of Japan?",
]
CLIENTS = 16
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "big": {"type": "boolean"}, "n": {"enum": [3, 5]}},
        "required": ["city", "big", "n"], "additionalProperties": False}
GUIDED = [
    {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}, "temperature": 1, "seed": 3, "ignore_eos": True},
    {"guided_regex": "(19|20)[0-9]{2}: [A-Zé]{2,5}", "temperature": 1, "seed": 4},
    {"structured_outputs": {"choice": ["Lyon", "Paris, France", "Rome"]}},
]


def answers(server):
    return [server.chat(question) for question in QUESTIONS]


def guided_answers(server):
    """Answers that must look like something, all at once."""
    def ask(fields):
        status, text = server.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": QUESTIONS[0]}], "temperature": 0, "max_tokens": 100, **fields})
        choice = json.loads(text)["choices"][0]
        return status, choice["finish_reason"], choice["message"]["content"]
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(ask, GUIDED))


class AnswersTest(unittest.TestCase):
    expected = guided = None  # of one rank

    @classmethod
    def setUpClass(cls):
        with served.Served(served.DEMO, ranks=1) as server:
            cls.expected = answers(server)
            cls.guided = guided_answers(server)

    def test_answers_say_something(self):
        self.assertIn("Paris", self.expected[0])
        self.assertGreater(len(set(self.expected)), len(QUESTIONS) // 2)

    def test_answers_look_as_asked(self):
        self.assertEqual({(status, reason) for status, reason, _ in self.guided}, {(200, "stop")}, self.guided)
        first, second, dated, chosen = [text for _, _, text in self.guided]
        for text in (first, second):
            city = json.loads(text)
            self.assertEqual(set(city), set(CITY["required"]))
            self.assertTrue(len(city["city"]) <= 12 and isinstance(city["big"], bool) and city["n"] in (3, 5), city)
        self.assertRegex(dated, re.compile("^" + GUIDED[2]["guided_regex"] + "$"))
        self.assertIn(chosen, GUIDED[3]["structured_outputs"]["choice"])

    def test_two_ranks(self):
        with served.Served(served.DEMO, ranks=2) as server:
            self.assertEqual(answers(server), self.expected)
            self.assertEqual(guided_answers(server), self.guided)
            for check in (self.sixteen_clients, self.event_stream, self.stream_equals_whole, self.refusals, self.models, self.probes):
                with self.subTest(check.__name__):
                    check(server)
            self.assertEqual(server.stop(), 0)

    def test_four_ranks(self):
        with served.Served(served.DEMO, ranks=4) as server:
            self.assertEqual(answers(server), self.expected)

    def test_four_ranks_with_attention_in_two_parts(self):
        with served.Served(served.DEMO, "--data-parallel-attention", 2, ranks=4) as server:
            self.assertEqual(answers(server), self.expected)
            self.sixteen_clients(server)

    def sixteen_clients(self, server):
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            got = list(pool.map(server.chat, QUESTIONS * (CLIENTS // len(QUESTIONS))))
        self.assertEqual(got, self.expected * (CLIENTS // len(QUESTIONS)))

    def stream(self, server, question):
        status, text = server.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 32, "stream": True})
        self.assertEqual(status, 200)
        return text

    def event_stream(self, server):
        events = self.stream(server, QUESTIONS[0]).split("\n\n")
        self.assertEqual(events[-2:], ["data: [DONE]", ""])
        chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
        self.assertTrue(all(event.startswith("data: ") for event in events[:-1]))
        self.assertEqual({chunk["object"] for chunk in chunks}, {"chat.completion.chunk"})
        self.assertEqual(len({chunk["id"] for chunk in chunks}), 1)
        self.assertEqual(chunks[0]["choices"][0]["delta"].get("role"), "assistant")
        reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
        self.assertEqual(reasons[:-1], [None] * (len(reasons) - 1))
        self.assertEqual(reasons[-1], "stop")

    def stream_equals_whole(self, server):
        for question, expected in zip(QUESTIONS, self.expected):
            events = self.stream(server, question).split("\n\n")[:-2]
            text = "".join(choice["delta"].get("content") or "" for event in events
                           for choice in json.loads(event.removeprefix("data: "))["choices"])
            self.assertEqual(text, expected)

    def refusals(self, server):
        limit = json.loads(server.get("/v1/models")[1])["data"][0].get("max_model_len", 1024)
        chat = {"messages": [{"role": "user", "content": "x"}]}
        cases = [
            ("malformed JSON", "/v1/chat/completions", b'{"messages": [', 400),
            ("not an object", "/v1/chat/completions", b"[]", 400),
            ("nested too deep", "/v1/chat/completions", b"[" * 100000, 400),
            ("no messages", "/v1/chat/completions", {"model": ""}, 400),
            ("wrong type", "/v1/chat/completions", {**chat, "temperature": "hot"}, 400),
            ("out of range", "/v1/chat/completions", {**chat, "top_p": 7}, 400),
            ("a schema that is none", "/v1/chat/completions", {**chat, "guided_json": {"type": "objct"}}, 400),
            ("an expression that is none", "/v1/chat/completions", {**chat, "guided_regex": "(a"}, 400),
            ("unknown model", "/v1/chat/completions", {**chat, "model": "nobody"}, 404),
            ("unknown path", "/v1/nothing", chat, 404),
            ("prompt beyond the context", "/v1/completions", {"prompt": "word " * (limit + 1)}, 400),
        ]
        for name, path, body, expected in cases:
            with self.subTest(name):
                status, text = server.post(path, body)
                self.assertEqual(status, expected, text)
                message = json.loads(text)["error"]["message"]
                self.assertTrue(message and "\n" not in message, message)
        self.assertEqual(server.chat(QUESTIONS[0]), self.expected[0])  # and it still serves

    def models(self, server):
        status, text = server.get("/v1/models")
        self.assertEqual((status, json.loads(text)["object"]), (200, "list"))
        self.assertIn("drover", server.get("/metrics")[1])

    def probes(self, server):
        """A probe asks its coordinator, whatever proxy the container is told to use."""
        environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
        health = subprocess.run([served.DROVER, "health", "--coordinator", server.grpc], env=environment, timeout=30,
                                capture_output=True, text=True, check=False)
        self.assertEqual(health.returncode, 0, health.stderr)
        self.assertEqual(server.get("/ping")[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
