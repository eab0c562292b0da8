"""Write tests/golden/text_v2.tsv from the readable twin: the same bytes give the same features in every face.

    python tests/golden/make_text_v2.py

Columns: message (UTF-8, or bytes that are none, in hex), sender, trust, gap in seconds or -, language, flags (a
number), dense values in eighths (a digit each), ids, tokens. Harmless wording only.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from reference import text as twin  # noqa: E402

FLAGS = ("truncated", "invalid", "hidden", "lookalike", "leet", "joined", "stretched", "sexualised")
MESSAGES: tuple[str | bytes, ...] = (
    "",
    " ",
    "hello",
    "Hey, how old are you?? I'm 13 btw",
    "see u 2moro at the park, 5pm ok?",
    "s e c r e t  p l a n",
    "s.e.c.r.e.t and s-e-c-r-e-t",
    "it's our s3cr3t, s€cret, $ecret",
    "I am aIone, fInd me",
    "that's what 1 1ove: p1zza, he1p, onl1ne",
    "pa57 ye4r5 we11 b055",
    "soooo coooool, hellooooo!!!",
    "ѕесrеt mееtіng",
    "ＦＵＬＬ ｗｉｄｔｈ and 𝓫𝓸𝓵𝓭 and ⓒⓘⓡⓒⓛⓔ 🅰🅱🅾",
    "ᴄᴀᴘs",
    "zero\u200bwid\u2060th and \u202eflipped",
    "🇸 🇪 🇨 🇷 🇪 🇹",
    "❤️❤️ 😘 🤫 🎁💰 📷 🦄 👍🏽 :) <3 xd",
    "www.example.org/x https://discord.gg/abc t.me/joe snapchat.com",
    "@joe_99 joe#1234 a.b@example.org @r3 @ home",
    "call 06 12 34 56 78 or +44-20-7946-0000 or 12345678",
    "$20 20€ 1.500,50€ £5k 30 euros",
    "17h30 5:30 8pm 23uhr 25:00 14yo 16 ans 12f 3rd user123 ps5",
    "hahaha jajajaja kkkk rsrs wwww",
    "Bist du gerade allein zu Hause? Die Straße, Übung, vllt später",
    "¿Tienes whatsapp? pásame tu número porfa, tqm",
    "T'es où ? J'ai fini l'école, c'est ça, stp",
    "Sei a casa? nn lo so, perché è già tardi",
    "vc tá em casa? não, amanhã blz",
    "ben je thuis? mss morgen, leuk",
    "Jesteś w domu? Zażółć gęślą jaźń",
    "İstanbul'da mısın? ışık, IŞIK, ev",
    "क्या तुम घर पर हो? क़िला ज़रूर",
    "tum kahan ho yaar, ghar pe?",
    "هل أنت في البيت؟ مُدَرِّسَة ـــ ى ی",
    "今家に一人？写真を送って、ｶﾞﾝﾊﾞﾚ！かわいいいい",
    "か\u3099き\u3099 は\u309a \u3099",
    "你好，今天天气怎么样",
    "Привет, как дела",
    "안녕하세요 반갑습니다",
    "สวัสดีครับ",
    "ABC DEF ghi",
    "don't can't l'ami y'all o'clock",
    "a\u0301e\u0308n\u0303 Å \u2126 ﬁne ½ ㎏",
    "word " * 300,
    "x" * 5000,
    "a." * 2100,
    "ﷺ" * 500,
    "\ufffd � \ue000 \ue000I",
    b"\xff\xfe ok \xc3 \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xc0\x80 \xf5\x80\x80\x80 end",
    "ゼロ１２３ 四五 ①②③ ٣٤",
    "to be or not to be: that is the question " * 6,
)
CONTEXTS = (
    ("other", "unknown", None),
    ("self", "child", 0.0),
    ("other", "guardian", 59.5),
    ("other", "unknown", 60.0),
    ("self", "unknown", 86399.0),
    ("other", "child", 86400.0),
    ("other", "unknown", -3.0),
)


def main() -> None:
    lines = [f"# {line}" for line in (__doc__ or "").splitlines()[:1]]
    for number, message in enumerate(MESSAGES):
        sender, trust, gap_s = CONTEXTS[number % len(CONTEXTS)]
        raw = message if isinstance(message, bytes) else message.encode()
        shown = raw.decode("utf-8", "replace")
        found = twin.features(shown, sender=sender, trust=trust, gap_s=gap_s)
        if raw != shown.encode():
            found.flags.add("invalid")
        cells = (
            raw.hex(),
            sender,
            trust,
            "-" if gap_s is None else repr(gap_s),
            found.language,
            str(sum(1 << FLAGS.index(flag) for flag in found.flags)),
            "".join(str(round(value * 8)) for value in found.dense),
            " ".join(map(str, found.ids)),
            found.normalised,
        )
        lines.append("\t".join(cells))
    (HERE / "text_v2.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
