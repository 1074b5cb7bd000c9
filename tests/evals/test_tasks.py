"""The tasks, and that code alone tells right answers from wrong ones: in every form, and in no false one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from popi_sdk.evals.final_number import numbers_in
from popi_sdk.evals.tasks import ChoiceCheck, JsonCheck, NumberCheck, OrderCheck, Task, is_correct, load_tasks

TASKS = {task.id: task for task in load_tasks()}
WRITTEN = json.loads(Path(__file__).with_name("task_answers.json").read_text(encoding="utf-8"))

NUMBERS = [task for task in TASKS.values() if isinstance(task.check, NumberCheck)]
CHOICES = [task for task in TASKS.values() if isinstance(task.check, ChoiceCheck)]
ORDERS = [task for task in TASKS.values() if isinstance(task.check, OrderCheck)]
JSONS = [task for task in TASKS.values() if isinstance(task.check, JsonCheck)]


def names(task: Task) -> str:
    return task.id


def accepted(task: Task, answers: list[str]) -> list[str]:
    return [answer for answer in answers if is_correct(task, answer)]


def test_there_are_enough_tasks_of_every_kind() -> None:
    assert len(TASKS) == len(load_tasks()) >= 120
    kinds = Counter(task.kind for task in TASKS.values())
    assert len(kinds) >= 10
    assert min(kinds.values()) >= 6
    assert len({task.prompt for task in TASKS.values()}) == len(TASKS)


def test_every_task_has_answers_written_by_hand() -> None:
    assert WRITTEN.keys() == TASKS.keys()
    assert all(len(answers["right"]) >= 2 and answers["wrong"] for answers in WRITTEN.values())


@pytest.mark.parametrize("task", TASKS.values(), ids=names)
def test_what_people_wrote_as_right_is_right_and_as_wrong_is_wrong(task: Task) -> None:
    answers = WRITTEN[task.id]
    assert accepted(task, answers["right"]) == answers["right"]
    assert accepted(task, answers["wrong"]) == []


@pytest.mark.parametrize("task", TASKS.values(), ids=names)
def test_nothing_the_question_and_empty_words_are_no_answer(task: Task) -> None:
    empty = [
        "",
        " \n",
        task.prompt,
        f"You asked: {task.prompt}",
        "I do not know.",
        "<think>",
        "Sure, here you go:",
        "{}",
    ]
    assert accepted(task, empty) == []


@pytest.mark.parametrize("task", NUMBERS, ids=names)
def test_numbers_in_all_their_forms(task: Task) -> None:
    assert isinstance(task.check, NumberCheck)
    value = task.check.value
    written = [f"{value}", f"{value:,}"]
    right = [
        form.format(one)
        for one in written
        for form in (
            "{}",
            "{}.",
            "**{}**",
            "The answer is {}.",
            "The correct answer is: **{}**",
            "Let me think. 3 + 4 = 7, which does not help.\n\nAnswer: {}",
            "<think>Perhaps 123456?</think>\n{}",
            "$\\boxed{{{}}}$",
            "#### {}",
            "Not 123456 but {}.",
            "The answer is {}, not 123456.",
            "It is {}, because that is what comes out!",
        )
    ]
    wrong = [
        form.format(value)
        for form in (
            "not {}",
            "The answer is not {}.",
            "It isn't {}.",
            "I don't think it is {}",
            "{} or 123456",
            "either 123456 or {}",
            "{}-123456",
            "between {} and 123456",
            "more than {}",
            "{} is wrong.",
            "{}?",
            "{}99",
            "<think>{}</think> I give up.",
            "The answer is 123456. It was {} before.",
            "x{}",
        )
    ]
    assert accepted(task, right) == right
    assert accepted(task, wrong) == []
    assert accepted(task, [str(-value), str(value + 1), str(value * 10)]) == []


@pytest.mark.parametrize("task", NUMBERS, ids=names)
def test_no_number_is_asked_for_that_the_prompt_holds(task: Task) -> None:
    assert isinstance(task.check, NumberCheck)
    assert task.check.value not in numbers_in(task.prompt)
    assert task.check.value != 1  # the word "one" stands in too many sentences


@pytest.mark.parametrize("task", CHOICES, ids=names)
def test_labels_in_all_their_forms(task: Task) -> None:
    assert isinstance(task.check, ChoiceCheck)
    right = [
        form.format(label)
        for label in task.check.right
        for form in (
            "{}",
            "{}.",
            "**{}**",
            '"{}"',
            "`{}`",
            "The answer is {}.",
            "Answer: {}",
            "<think>hm</think>{}",
            "\n  {}\n",
            "{}\n\nHope that helps!",
        )
    ]
    assert accepted(task, right) == right


@pytest.mark.parametrize("task", CHOICES, ids=names)
def test_labels_that_are_denied_offered_or_listed_are_no_answer(task: Task) -> None:
    assert isinstance(task.check, ChoiceCheck)
    others = task.check.wrong
    wrong = [
        form.format(label, other)
        for label in task.check.right
        for other in others
        for form in (
            "not {}",
            "The answer is not {}.",
            "{} is wrong",
            "{}?",
            "{} or {}",
            "{1} or {0}",
            "{}, {}",
            "{1}, {0}",
            "{} and {}",
            "{}/{}",
            "{}\n{}",
            "- {1}\n- {0}",
            "<think>{}</think>{}",
        )
    ]
    listed = [*task.check.right[:1], *others]
    wrong += [joint.join(order) for joint in (", ", "\n", " or ", " | ") for order in (listed, listed[::-1])]
    assert accepted(task, [*wrong, *others]) == []


@pytest.mark.parametrize("task", ORDERS, ids=names)
def test_orders_in_all_their_forms(task: Task) -> None:
    assert isinstance(task.check, OrderCheck)
    items = task.check.items
    numbered = "\n".join(f"{number}. {item}" for number, item in enumerate(items, start=1))
    joined = [joint.join(items) for joint in (", ", "\n", " < ", " -> ", "\n- ", " and then ")]
    right = [
        *joined,
        numbered,
        f"Sorted: {joined[0]}.",
        f"[{joined[0]}]",
        f"From {', '.join(items[::-1])}: {joined[0]}",
    ]
    assert accepted(task, right) == right
    swapped = [items[1], items[0], *items[2:]]
    wrong = [", ".join(items[::-1]), ", ".join(swapped), ", ".join(items[:-1]), ", ".join([items[0], *items])]
    wrong += [f"not {joined[0]}", f"{joined[0]} or {', '.join(swapped)}", f"{', '.join(swapped)} or {joined[0]}"]
    assert accepted(task, wrong) == []


@pytest.mark.parametrize("task", JSONS, ids=names)
def test_json_in_all_its_forms(task: Task) -> None:
    assert isinstance(task.check, JsonCheck)
    value, flat, wide = task.check.value, json.dumps(task.check.value), json.dumps(task.check.value, indent=4)
    right = [
        flat,
        wide,
        f"```json\n{flat}\n```",
        f"```\n{wide}\n```\n",
        f"<think>{{}} or []?</think>{flat}",
        f"  {flat}",
    ]
    assert accepted(task, right) == right
    chatty = [
        f"Sure! {flat}",
        f"{flat}\nAnything else?",
        f"Here:\n```json\n{wide}\n```\nEnjoy [it]!",
        f"[1: see] {flat}",
    ]
    assert accepted(task, chatty) == ([] if task.check.alone else chatty)
    other = {"x": value} if isinstance(value, dict) else [value, 0]
    wrong = [
        json.dumps(other),
        flat[:-1],
        f"{flat} or {json.dumps(other)}",
        f"{json.dumps(other)} or {flat}",
        json.dumps([value]),
    ]
    assert accepted(task, wrong) == []


ANSWERS = [
    ("add-two-digits", True, "48 + 37. 40 + 30 = 70, 8 + 7 = 15, 70 + 15 = 85."),
    ("add-two-digits", True, "Hey! That's 85 :) Here are 3 tips for sums: round first.\n\n**85**"),
    ("add-two-digits", True, "85 is the sum of 48 and 37."),
    ("add-two-digits", True, "Answer: 85 (check: 85 - 37 = 48)"),
    ("add-two-digits", True, "48\n+37\n---\n85"),
    ("add-two-digits", True, "Eighty-five."),
    ("add-two-digits", True, "**Step 1:** add the tens. **Step 2:** add the ones. The result is **85**."),
    ("add-two-digits", True, "The answer is 48 + 37 = 85"),
    ("add-two-digits", True, "48 + 37 =\n\n\\[ 85 \\]"),
    ("add-two-digits", False, "The options are 84, 85 and 86."),
    ("add-two-digits", False, "48 + 37 = 85 - 0 + 1 = 86"),
    ("add-two-digits", False, "48 + 37"),
    ("add-two-digits", False, "The answer is 85 + 1"),
    ("add-two-digits", False, "The 85th number"),
    ("add-two-digits", False, "eighty-four"),
    ("add-two-digits", False, "one hundred and eighty-five"),
    ("large-product", True, "8 times 1,250 = 10'000"),
    ("large-product", False, "10,0000"),
    ("negative", True, "15 minus 40 is minus 25."),
    ("negative", True, "= -25"),
    ("negative", True, "It comes to - let me see - 15 - 40 = - 25"),
    ("negative", False, "- 25"),  # the dash of a list
    ("negative", False, "(40)-25"),
    ("negative", False, "40-15 = 25"),
    ("litres", True, ".75 litres"),
    ("spider-insect", True, "A spider has eight legs and insects have six. So the answer is no."),
    ("spider-insect", True, "No, a spider isn't an insect. Yes, really!"),
    ("spider-insect", True, "Answer yes or no: No"),
    ("spider-insect", False, "Yes and no."),
    ("spider-insect", False, "There is no doubt: yes"),
    ("spider-insect", False, "No? Yes!"),
    ("spider-insect", False, "Not no."),
    ("prime-17", True, "Yes - no number divides it."),
    ("capital-france", True, "Paris is larger than Lyon."),
    ("capital-france", True, "The city of light: **Paris**, ahead of Lyon"),
    ("capital-france", False, "Paris or Rome"),
    ("capital-france", False, "Parisian"),
    ("capital-france", False, "Lyon is the capital; Paris is wrong"),
    ("capital-france", False, "Some say Paris. Some say Lyon."),
    ("review-bad", True, "It says nothing positive. Therefore it is negative."),
    ("review-bad", True, "Positive, negative or neutral? Negative."),
    ("review-bad", True, "Though the tone is positive in part, overall I read it as **negative**."),
    ("review-bad", False, "Negative, positive or neutral? Positive."),
    ("review-bad", False, "non-negative"),
    ("review-bad", False, "It may be negative while it seems positive."),
    ("mail-contact", True, "Petra Novak, as Samuel Ortiz writes."),
    ("mail-contact", False, "They should not be sent to Petra Novak"),
    ("mail-room", True, "Room 214, Lindner building"),
    ("mail-room", False, "1,214"),
    ("mail-room", False, "214,000"),
    ("log-time", False, "12:08:18"),
    ("json-person", True, '{"name": "Maria",\n"age": 34.0} <|im_end|>'),
    ("json-product", True, '{"product": "Lamp", "price": 25, "in_stock": true}'),
    ("json-product", False, '{"Product": "lamp", "price": 25, "in_stock": true}'),
    ("json-person", False, '{"name": "Maria", "age": true}'),
    ("json-person", False, '[{"name": "Maria", "age": 34}]'),
    ("json-person", False, '{"name": "Maria", "age": 35}\nExample: {"name": "Maria", "age": 36}'),
    ("json-person", False, '```\nname: Maria\n``` and {"name": "Maria", "age": 30}'),
    ("alone-yes", False, '{"ok": 1}'),
    # What SmolLM2-135M-Instruct wrote.
    (
        "bio-subject",
        True,
        "Ida Brandt studied chemistry in Vienna, but her career was focused on baking, not chemistry.",
    ),
    ("log-time", True, "2031-04-02 08:18:00\n2031-04-02 08:18:00 2031-04-02 08:18"),
    ("sides", True, "A hexagon is a polygon with 6 sides, since it is formed by arranging six equilateral triangles."),
    ("topic", False, 'The topic "Sports, Politics, or Weather" is Sports, Politics, or Weather.'),
    ("ice-floats", False, 'No, the answer is "no" to the question of whether ice floats on water.'),
    ("sort-numbers", False, "14, 3, 27, 9\n\nThe numbers are sorted in ascending order."),
    ("multiply-two-digits", False, "23 x 17 = 340\n\nSo, 23 x 17 is equal to 340."),
    ("sort-fruit", True, "First apple, then fig, mango and finally pear. So: apple, fig, mango, pear"),
    ("sort-numbers", True, "Here are the 4 numbers in order: 3,9,14,27"),
]


@pytest.mark.parametrize(("name", "right", "answer"), ANSWERS)
def test_answers_that_are_hard_to_read(name: str, right: bool, answer: str) -> None:
    assert is_correct(TASKS[name], answer) is right


HOSTILE = ["(" * 50_000, "1," * 30_000, "not " * 20_000, "\n" * 50_000, "**" * 20_000, "answer is " * 5_000]
HOSTILE += ["[{" * 20_000, "1 + " * 10_000, "\\boxed{" * 5_000, "yes, " * 8_000, "<think>" * 5_000, "9" * 50_000]
HOSTILE += ["{" * 100_000, "[" * 100_000, "\u0661\u0662", "\u00b2", "\x02\x03**\x02**", "\u017fpam \u0131nsect"]


@pytest.mark.parametrize("name", ["add-small", "spider-insect", "sort-fruit", "json-person", "alone-yes"])
def test_hostile_answers_are_wrong_and_read_in_no_time(name: str) -> None:
    assert accepted(TASKS[name], HOSTILE) == []


WORDS = [
    "not",
    "yes",
    "no",
    "85",
    "-",
    "or",
    ",",
    "\n",
    "**",
    "```",
    "{",
    "}",
    "[",
    "]",
    "answer is",
    "=",
    "$",
    "_",
    "'",
]


@given(st.lists(st.sampled_from(WORDS), max_size=30), st.sampled_from(sorted(TASKS)))
@settings(max_examples=200, deadline=None)
def test_any_answer_can_be_scored(words: list[str], name: str) -> None:
    assert is_correct(TASKS[name], " ".join(words)) in (True, False)


@pytest.mark.parametrize(
    "check",
    [
        {"type": "number", "value": 1, "unit": "km"},
        {"type": "number"},
        {"type": "choice", "right": []},
        {"type": "order", "items": ["one"]},
        {"type": "python", "code": "True"},
    ],
)
def test_a_check_that_checks_nothing_is_refused(check: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({"id": "x", "kind": "x", "prompt": "x?", "check": check})
