"""Writes train.jsonl and heldout.jsonl: the demo model's questions and answers. Seeded; needs nothing but Python's standard library."""

import argparse
import json
import random
import re
import zlib
from pathlib import Path

import facts
import phrasings as ask

HELD_COUNTS = {"capitals": 80, "addition": 50, "subtraction": 45, "multiplication": 25, "days": 45, "months": 50, "opposites": 50,
               "colours": 45, "drover": 50, "chat": 25, "greetings": 10, "unknown": 25}
WEIGHTS = {"capitals": 16, "addition": 14, "subtraction": 14, "multiplication": 9, "days": 7, "months": 10, "opposites": 11,
           "colours": 9, "drover": 13, "greetings": 3, "unknown": 7}
DRILLS = 0.4  # share of the conversations that are rows of sums
OPPOSITE_OF = {**{a: b for a, b in facts.OPPOSITES}, **{b: a for a, b in facts.OPPOSITES}}
NUMBER = re.compile(r"\d+")


def held_pair(operation, a, b):
    """True for the operand pairs that the training data never shows; a sum's two orders go together."""
    if operation == "+":
        a, b = min(a, b), max(a, b)
    chosen = zlib.crc32(f"{operation} {a} {b}".encode()) % 7 == 0
    if operation != "*":
        return chosen
    mirror = zlib.crc32(f"* {b} {a}".encode()) % 7 == 0
    return chosen and a != b and not (mirror and a > b)


def entry(category, question, answer, accept, reject=(), numbers=None):
    """One question; reject: words that would contradict; numbers: the only numbers an answer may name."""
    said = question.lower() + " " + answer.lower()
    result = {"category": category, "question": question[0].upper() + question[1:], "answer": answer, "accept": list(accept)}
    if numbers is not None:
        result["numbers"] = [str(n) for n in numbers]
    result["reject"] = sorted({w for w in reject if not re.search(rf"\b{re.escape(w.lower())}\b", said)})
    return result


def capitals(rng, held):
    country, city = rng.choice(list(facts.CAPITALS.items()))
    if rng.random() < (0.15 if held else 0.25):
        question = rng.choice(ask.COUNTRY_HELD if held else ask.COUNTRY).format(y=city)
        return entry("capitals", question, f"{city} is the capital of {country}.", [country], facts.CAPITALS)
    question = rng.choice(ask.CAPITAL_HELD if held else ask.CAPITAL).format(x=country)
    return entry("capitals", question, f"The capital of {country} is {city}.", [city], facts.CAPITALS.values())


ARITHMETIC = {"addition": ("+", "plus", ask.ADD, ask.ADD_HELD, lambda a, b: a + b),
              "subtraction": ("-", "minus", ask.SUB, ask.SUB_HELD, lambda a, b: a - b),
              "multiplication": ("*", "times", ask.MUL, ask.MUL_HELD, lambda a, b: a * b)}


def arithmetic(category):
    sign, word, train, unseen, compute = ARITHMETIC[category]

    def make(rng, held):
        while True:
            top = 10 if sign == "*" else (20 if rng.random() < (0.85 if held else 0.35) else 99)
            a, b = rng.randint(0, top), rng.randint(0, top)
            if sign == "-":
                a, b = max(a, b), min(a, b)
            if held_pair(sign, a, b) == held:
                break
        phrases = unseen if held and rng.random() < 0.5 else train
        value = compute(a, b)
        return entry(category, rng.choice(phrases).format(a=a, b=b), f"{a} {word} {b} is {value}.", [str(value)], numbers=[a, b, value])
    return make


def neighbour(rng, held, names, noun):
    i, after = rng.randrange(len(names)), rng.random() < 0.5
    if after:
        phrases, side, other = ask.AFTER_HELD if held else ask.AFTER, "after", names[(i + 1) % len(names)]
    else:
        phrases, side, other = ask.BEFORE_HELD if held else ask.BEFORE, "before", names[i - 1]
    if noun == "month":
        phrases = [p.replace(" day", " month") for p in phrases if "oday" not in p]
    question = rng.choice(phrases).format(x=names[i])
    return entry(noun + "s", question, f"The {noun} {side} {names[i]} is {other}.", [other], names)


def fixed(category, rows, rng, held):
    accept, answer, train, unseen = rng.choice(rows)
    numbers = NUMBER.findall(answer) if category == "days" else None
    reject = [row[0][0] for row in rows] if numbers is None else []
    return entry(category, rng.choice(unseen if held else train), answer, accept, reject, numbers)


def days(rng, held):
    return fixed("days", facts.CALENDAR, rng, held) if rng.random() < 0.15 else neighbour(rng, held, facts.DAYS, "day")


def months(rng, held):
    kind, i = rng.random(), rng.randrange(12)
    month, length = facts.MONTHS[i], facts.LENGTHS[i]
    if kind < 0.4:
        return neighbour(rng, held, facts.MONTHS, "month")
    if kind < 0.75:
        question = rng.choice(ask.MONTH_LENGTH_HELD if held else ask.MONTH_LENGTH).format(x=month)
        answer = f"{month} has {length} days" + (", or 29 in a leap year." if length == 28 else ".")
        return entry("months", question, answer, [str(length)], numbers=NUMBER.findall(answer))
    question = rng.choice(ask.MONTH_NUMBER_HELD if held else ask.MONTH_NUMBER).format(n=facts.ORDINALS[i])
    return entry("months", question, f"The {facts.ORDINALS[i]} month of the year is {month}.", [month], facts.MONTHS)


def opposites(rng, held):
    word, other = rng.choice(list(OPPOSITE_OF.items()))
    question = rng.choice(ask.OPPOSITE_HELD if held else ask.OPPOSITE).format(x=word)
    return entry("opposites", question, f"The opposite of {word} is {other}.", [other], OPPOSITE_OF)


def colours(rng, held):
    if rng.random() < 0.25:
        x, y, mixed = rng.choice(facts.MIXES)
        x, y = rng.sample([x, y], 2)
        question = rng.choice(ask.MIX_HELD if held else ask.MIX).format(x=x, y=y)
        return entry("colours", question, f"{x.capitalize()} and {y} make {mixed}.", [mixed], facts.COLOUR_NAMES)
    thing, colour = rng.choice(list(facts.COLOURS.items()))
    question = rng.choice(ask.COLOUR_HELD if held else ask.COLOUR).format(x=thing)
    return entry("colours", question, f"{thing[0].upper()}{thing[1:]} is {colour}.", [colour], facts.COLOUR_NAMES)


def drover(rng, held):
    return fixed("drover", facts.DROVER, rng, held)


def greetings(rng, held):
    train, unseen, answer, accept = rng.choice(list(facts.GREETINGS.values()))
    return entry("greetings", rng.choice(unseen if held else train), answer, accept)


def unknown(rng, held):
    frame = rng.choice(facts.UNKNOWN_HELD_FRAMES if held else facts.UNKNOWN_FRAMES)
    question = frame.format(**{slot: rng.choice(words) for slot, words in facts.UNKNOWN_SLOTS.items()})
    return entry("unknown", question, facts.UNKNOWN_ANSWER, facts.UNKNOWN_ACCEPT)


MAKERS = {"capitals": capitals, "days": days, "months": months, "opposites": opposites, "colours": colours, "drover": drover,
          "greetings": greetings, "unknown": unknown, **{name: arithmetic(name) for name in ARITHMETIC}}


def dressed(question, rng, held):
    """An opener, a closer, another spelling: what people put around a question."""
    opener = rng.choice(ask.HELD_OPENERS if held else ask.OPENERS) if len(question) > 12 else ""
    closer = "" if held or len(question) < 12 or question[-1] != "?" else rng.choice(ask.CLOSERS)
    question = opener + question + closer
    if rng.random() < 0.12:
        question = question.lower()
    return question.rstrip("?.!") if rng.random() < 0.1 else question


def normal(text):
    return " ".join(re.findall(r"[\w+*-]+", text.lower()))


def follow_up(rng, held):
    """Two turns: a question, then the same about something else ("And Italy?")."""
    maker, slot = rng.choice([(capitals, "The capital of "), (opposites, "The opposite of "), (neighbour_of_days, "The day ")])
    first, second = maker(rng, False), maker(rng, False)
    while not second["answer"].startswith(slot) or not first["answer"].startswith(slot) or \
            relation(first) != relation(second) or first["answer"] == second["answer"]:
        first, second = maker(rng, False), maker(rng, False)
    subject = second["answer"][len(relation(second)):].split(" is ")[0].strip()
    question = rng.choice(ask.FOLLOW_HELD if held else ask.FOLLOW).format(x=subject)
    return [first, {**second, "category": "chat", "question": question[0].upper() + question[1:]}]


def neighbour_of_days(rng, held):
    return neighbour(rng, held, facts.DAYS, "day")


def relation(item):
    """The words an answer begins with, before its subject: "The capital of", "The day after"."""
    return re.match(r"The (capital of|opposite of|day after|day before|\w+)", item["answer"]).group(0)


def names(rng, held):
    """The user tells a name, asks something else or nothing, and asks for the name."""
    name = rng.choice(facts.NAMES)
    told = entry("chat", rng.choice(ask.NAME_TELL).format(n=name), f"Hello, {name}! How can I help you?", [name])
    between = [any_question(rng) for _ in range(rng.choice([0, 0, 1, 2]))]
    asked = entry("chat", rng.choice(ask.NAME_ASK_HELD if held else ask.NAME_ASK), f"Your name is {name}.", [name], facts.NAMES)
    return [told, *between, asked]


def nameless(rng):
    return [entry("chat", rng.choice(ask.NAME_ASK), "I am sorry, I don't know your name.", ["don't know"])]


def any_question(rng):
    return MAKERS[rng.choices(list(WEIGHTS), WEIGHTS.values())[0]](rng, False)


def conversation(rng):
    kind = rng.random()
    if kind < 0.06:
        return follow_up(rng, False) + ([any_question(rng)] if rng.random() < 0.3 else [])
    if kind < 0.10:
        return names(rng, False)
    if kind < 0.107:
        return nameless(rng)
    turns = rng.choices([1, 2, 3, 4, 6, 10, 14], [55, 20, 10, 7, 4, 2, 1.5])[0]
    return [any_question(rng) for _ in range(turns)]


def drill(rng):
    """A row of sums. `learn` lists the parts of the answer that follow from what stands before: the results, not the operands."""
    operation, parts, learn = rng.choices(list(ARITHMETIC), [5, 5, 2])[0], [], []
    for _ in range(rng.randint(2, 10)):
        text = MAKERS[operation](rng, False)["answer"]
        sum_, result = text.split(" is ")
        parts += [(" " if parts else "") + sum_ + " is", " " + result]
        learn += [False, True]
    question = rng.choice(ask.DRILL).format(x=operation)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": "".join(parts), "parts": parts, "learn": learn}]


def messages_of(items, rng, held_last):
    messages = []
    if rng.random() < 0.06:
        messages.append({"role": "system", "content": rng.choice(ask.SYSTEM)})
    for i, item in enumerate(items):
        last = held_last and i == len(items) - 1
        messages.append({"role": "user", "content": dressed(item["question"], rng, held_last and last)})
        if not last:
            messages.append({"role": "assistant", "content": item["answer"]})
    return messages


def held_out(rng):
    """The held-out questions: no two alike."""
    rows, seen = [], set()
    for category, count in HELD_COUNTS.items():
        while count:
            if category == "chat":
                items = (follow_up if rng.random() < 0.6 else names)(rng, True)
            else:
                items = [MAKERS[category](rng, True)]
            messages = messages_of(items, rng, True)
            key = normal(" ".join(m["content"] for m in messages))
            if key in seen:
                continue
            seen.add(key)
            count -= 1
            last = items[-1]
            row = {"id": f"{category}-{count}", "category": category, "messages": messages, "answer": last["answer"], "accept": last["accept"]}
            rows.append({**row, **{k: last[k] for k in ("numbers", "reject") if last.get(k)}})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder to write to")
    parser.add_argument("--conversations", type=int, default=160_000)
    parser.add_argument("--seed", type=int, default=20)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)
    held = held_out(rng)
    asked = {normal(row["messages"][-1]["content"]) for row in held}
    with open(args.out / "heldout.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in held)
    written = 0
    with open(args.out / "train.jsonl", "w", encoding="utf-8") as file:
        while written < args.conversations:
            messages = drill(rng) if rng.random() < DRILLS else messages_of(conversation(rng), rng, False)
            if not asked & {normal(m["content"]) for m in messages if m["role"] == "user"}:
                file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
                written += 1
    print(f"{written} conversations, {len(held)} held-out questions in {args.out}")


if __name__ == "__main__":
    main()
