"""Hand-made conversations as people have them: threads of five turns, replies to 8,000 characters.

The sentences are written; which stand in which reply, and in which order, follows from numbers, so
that a file is the same everywhere and no request comes twice.
"""

import json
from itertools import count, islice

TURNS = 5
# Characters of request and reply together, by place in the thread; the largest that is accepted.
SIZES = {"en": (700, 1_600, 2_600, 4_200, 8_000), "zh": (260, 500, 900, 1_400, 2_400)}
SUBJECTS = {
    "en": (
        *("a shady back garden", "sourdough at altitude", "a thesis on river silt"),
        *("my rusty Spanish", "a choir of beginners", "an old wooden canoe"),
        *("a spreadsheet of household costs", "long-distance running", "a first novel"),
        *("watercolour skies", "a mending circle", "a newsletter for cyclists"),
        *("beginners' chess evenings", "a photo archive", "night-time sleep habits"),
    ),
    "zh": (
        *("阳台种小番茄", "自学水彩", "写毕业论文", "练长跑", "整理老照片", "学做酸面包"),
        *("业余合唱", "记家庭账", "背西班牙语", "下围棋", "修旧木船", "改善睡眠"),
    ),
}
AIMS = {
    "en": (
        "get going with",
        "win back some pleasure in",
        "bring some order into",
        "give a talk on",
    ),
    "zh": ("从头开始",),
}
REQUESTS = {
    "en": (
        "I want to {aim} {subject}, with a few hours a week at most. Where would you begin?",
        "And which mistakes do people make who {aim} {subject}? Please go into detail.",
        "How would I notice after a month or so that my plan to {aim} {subject} works out?",
        "Could you write a plan for eight weeks to {aim} {subject}, step by step?",
        "Now everything once more as one long guide to {aim} {subject}, for a friend of mine.",
    ),
    "zh": (
        "我想{aim}{subject}，每周最多抽出几个小时，应该先做什么？",
        "那{aim}{subject}的人一般会犯哪些错误？请讲细一点。",
        "过一个月左右，我怎么判断{aim}{subject}有没有进展？",
        "能不能给我写一份{aim}{subject}的八周计划，一步一步来？",
        "把上面说的合成一份完整的{aim}{subject}指南，我想发给朋友看。",
    ),
}
SENTENCES = {
    "en": (
        "Begin with the smallest version that still feels worth doing, and let it grow from there.",
        "Write down in one line what a good result would look like, so that you can tell later.",
        "Most people give up because the first plan asks for too much on ordinary days.",
        "A fixed hour beats a free day: what has a place in the week tends to happen.",
        "Keep the tools within reach, since every minute of searching is a reason to put it off.",
        "Ask somebody with more practice early on; they see in seconds what takes you weeks.",
        "Change one thing at a time, otherwise you never learn which of the changes helped.",
        "Expect a dull stretch after the first progress and decide beforehand how to get through.",
        "Short notes after each session are worth more than long ones at the end of the season.",
        "If two sources disagree, try both on a small scale and believe the result.",
        "Spend money late: by then you know what you really lack.",
        "Repeating the easy parts is no waste, it frees attention for the hard ones.",
        "Set aside a little time to undo what went wrong, and do not call that a failure.",
        "Compare yourself with your own work of a month ago and with nothing else.",
        "When the weather, the family or the job gets in the way, halve the plan, do not drop it.",
        "Look for a group, even a loose one; being expected somewhere is a strong motive.",
        "Rest is part of the plan, and tired work has to be done twice.",
        "Read one good introduction to its end before you open the next.",
        "Leave a session while it still goes well, then the next one is easy to begin.",
        "At the end of each week name one thing to keep, one to stop and one to try.",
        "Make the first ten minutes so easy that there is nothing to argue about.",
        "Numbers are useful as long as you would act differently if they were different.",
        "Whatever you build up slowly stays with you longer than what was forced.",
    ),
    "zh": (
        "先做一个小到不可能失败的版本，再慢慢加量。",
        "用一句话写下你想要的结果，以后才好对照。",
        "多数人放弃，是因为一开始定得太满。",
        "固定的时间比空闲的日子可靠，写进日程的事才会发生。",
        "东西放在手边，少找一分钟，就少一个拖延的借口。",
        "早点请有经验的人看看，他们一眼能看出你几周才发现的问题。",
        "一次只改一个地方，否则不知道是哪一步起了作用。",
        "初期进步之后会有一段平淡，事先想好怎么熬过去。",
        "每次结束写两行记录，比年底写长篇总结管用。",
        "两种说法冲突时，各试一小步，看结果说话。",
        "晚一点再花钱，那时你才知道真正缺什么。",
        "重复简单的部分并不浪费，它能把注意力留给难点。",
        "留一点时间返工，不要把返工当成失败。",
        "只和一个月以前的自己比较。",
        "忙起来就把计划减半，不要整个丢掉。",
        "累了就休息，疲劳时做的事往往要重做。",
        "每周末写下一件要保留、一件要停止、一件想尝试的事。",
    ),
}


def threads(lang):
    """Every thread of a language: five exchanges, a request and its reply, on one matter."""
    number = count()
    for aim in AIMS[lang]:
        for subject in SUBJECTS[lang]:
            asked = (text.format(aim=aim, subject=subject) for text in REQUESTS[lang])
            yield [
                (request, reply(lang, next(number), size - len(request)))
                for request, size in zip(asked, SIZES[lang], strict=True)
            ]


def reply(lang, number, size):
    """Paragraphs of written sentences that fill so many characters, or hardly fewer."""
    pool = SENTENCES[lang]
    blank = "" if lang == "zh" else " "
    step = 1 + number % (len(pool) - 1)
    text, following = "", pool[number % len(pool)]
    i = 0
    while len(following) <= size:
        text, i = following, i + 1
        sentence = pool[(number + i * step) % len(pool)]
        following = f"{text}{blank if i % 5 else chr(10) * 2}{sentence}"
    return text


def conversations(lang, exchanges):
    """Conversations as messages, with so many exchanges together."""
    for thread in islice(threads(lang), exchanges // TURNS):
        yield [
            {"role": role, "content": text}
            for pair in thread
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]


def write_chats(path, **exchanges):
    """A ChatML file with so many exchanges of each language, such as `en=300`."""
    with path.open("w", encoding="utf-8") as file:
        for lang, number in exchanges.items():
            for messages in conversations(lang, number):
                file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    return path
