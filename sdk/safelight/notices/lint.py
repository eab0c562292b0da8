"""What can be checked about words without a person: that slips do not ship. It replaces no reviewer.

Every language: completeness by its own declaration (the loader), placeholders, banned words, numbers, length, no
countdown. English, which the rules were written on: also reassurance, the way to an adult, the four elements of
deterrence in their order, what is held, and the reading level. Other languages are held to the four elements, the
reassurance and, where textstat has a formula for the language, the reading level as *notes*: a stem list is no grammar.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from safelight.decision import AgeBand
from safelight.notices.catalogue import Catalogue, Entry, Variant, texts_of
from safelight.notices.select import SHORT

MAX_BODY_WORDS: Final = 60
MAX_TITLE_WORDS: Final = 8
MAX_LABEL_WORDS: Final = 5
MAX_SENTENCE_WORDS: Final = 22
# A translation into a longer language may take this much more.
TRANSLATION_ROOM: Final = 1.35
# Scripts without spaces are measured in letters: about two for a word of English (our estimate).
_UNSPACED: Final = {"ja", "zh", "th"}
_LETTERS_PER_WORD: Final = 4.0

CHILDREN: Final = frozenset({AgeBand.UNDER_10, AgeBand.FROM_10_TO_12})
PROTECTED: Final = frozenset(AgeBand) - {AgeBand.ADULT}
DETERRENCE: Final = ("adult_subject_minor_strong", "adult_search", "adult_chat_likely_child")

#: Highest Flesch-Kincaid grade of a body. Grade + 5 is roughly an age; the targets are 7, 9, 9-11 and 11.
MAX_GRADE: Final[Mapping[AgeBand, float]] = {
    AgeBand.UNDER_10: 3.0,
    AgeBand.FROM_10_TO_12: 4.0,
    AgeBand.FROM_13_TO_15: 6.0,
    AgeBand.UNKNOWN: 6.0,
    AgeBand.FROM_16_TO_17: 6.6,
    AgeBand.ADULT: 6.6,
}
#: Three sentences that must hold everything run longer; so do a section to read and a sentence of reason.
SHORT_SLACK: Final = 1.5
EDUCATION_SLACK: Final = 2.0

#: Lowest mean Flesch reading ease of a band's bodies, for languages in which textstat has its own formula.
MIN_EASE: Final[Mapping[AgeBand, float]] = {
    AgeBand.UNDER_10: 75.0,
    AgeBand.FROM_10_TO_12: 70.0,
    AgeBand.FROM_13_TO_15: 65.0,
    AgeBand.UNKNOWN: 60.0,
    AgeBand.FROM_16_TO_17: 60.0,
    AgeBand.ADULT: 50.0,
}
TEXTSTAT_LANGUAGES: Final = ("de", "es", "fr", "it", "nl")

FOR_NOBODY: Final = (
    r"child(ren)?.?s? porn",
    r"porn",
    r"\bcsam\b",
    r"offend",
    r"predator",
    r"paedo|pedo",
    r"pervert",
    r"criminal",
    r"lolita",
    r"underage",
    r"kiddie",
    r"molest",
    r"\bvictim",
    r"\bpolice\b",
    r"arrest",
    r"prison|jail",
    r"charged",
    r"\btrac(e|ed|ing)\b",
    r"\bip address",
    r"your (parents?|family) (will|has|have|was|were)",
    r"\breported\b",
    r"should have",
    r"why did you",
    r"for ?ever",
    r"\bsave (it|this|the)\b|screenshot|\bcopy (it|this|the)\b|download",
    r"guarantee|completely|confidential|anonymous|100",
    r"\balways\b|\bnever\b|will be removed|in trouble",
    r"score|threshold|model|classifier|algorithm|artificial|\bai\b|detect",
    r"countdown|seconds|hurry|at once|immediately",
    r"partner",
    r"https?:|www\.",
)
FOR_NO_CHILD: Final = (r"illegal", r"\bcrime", r"against the law", r"asham", r"\bguilt", r"sexual", r"\bsex\b")
FOR_NOBODY_UNDER_13: Final = (
    r"\blaws?\b",
    r"\bnud",
    r"naked",
    r"genital",
    r"abuse",
    r"consequence",
    r"embarrassing",
)
FOR_NOBODY_UNDER_10: Final = (r"embarrass", r"reveal", r"guardian", r"automatic", r"services?\b")
AMERICAN: Final = (r"\bcolor", r"behavior", r"\bapologiz", r"\bcenter", r"\bgray\b", r"\bmom\b")

#: For nobody, in other languages: stems of the words that the Luxembourg Guidelines reject, of names for a person by an
#: act, of police and tracing. Short on purpose: what must hold, not a dictionary.
_BANNED: Final[Mapping[str, tuple[str, ...]]] = {
    "de": (
        r"porno",
        r"täter",
        r"pädophil",
        r"polizei",
        r"verhaft",
        r"gefängnis",
        r"zurückverfolg",
        r"minderjährigensex",
    ),
    "es": (r"porno", r"depredador", r"pedófil", r"pederast", r"polic[ií]a", r"arrest", r"cárcel", r"rastrea"),
    "fr": (r"porno", r"prédateur", r"pédophil", r"polic(e|ier)", r"arrêté", r"prison", r"traç(é|age)"),
    "it": (r"porno", r"predator", r"pedofil", r"polizia", r"arrest", r"carcere|prigione", r"rintracci"),
    "pt": (r"porno", r"predador", r"pedófil", r"polícia", r"prisão", r"rastre"),
    "nl": (r"porno", r"dader", r"pedofiel", r"politie", r"gearresteerd", r"gevangenis", r"getraceerd"),
    "pl": (r"porno", r"pedofil", r"polic(j|yj)", r"aresztow", r"więzieni", r"namierz"),
    "tr": (r"porno", r"pedofil", r"\bpolis", r"tutukla", r"hapis", r"\bIP adres"),
    "ar": (r"إباحي", r"اباحي", r"الشرطة", r"شرطة", r"اعتقال", r"السجن"),
    "hi": (r"पोर्न", r"अश्लील", r"पुलिस", r"गिरफ़?्तार", r"जेल"),
    "ja": (r"ポルノ", r"警察", r"逮捕", r"刑務所", r"ロリ"),
}
#: Law, harm, consequences, help: stems that one of each must be found of in a deterrence notice, in this order.
_ELEMENTS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "en": ("crime", "harm", "consequences", r"(?<!each )[Hh]elp|[Ss]upport|Talking"),
    "de": (
        r"Straftat|strafbar|verboten|Verbrechen",
        r"schad|Leid|verletz",
        r"Folgen|Konsequenz",
        r"Hilf|helf|Unterstütz",
    ),
    "es": (r"delito", r"daño|daña|hiere", r"consecuencia", r"[Aa]yud|[Aa]poyo"),
    "fr": (
        r"crime|délit|infraction|interdit",
        r"mal\b|nuis|bless|souffr",
        r"conséquence",
        r"[Aa]id|soutien|[Ss]outenir",
    ),
    "it": (r"reato|crimine", r"danno|danneg|male|feri", r"conseguenz", r"[Aa]iut|[Ss]osten|[Ss]ostegn"),
    "pt": (r"crime", r"dano|prejudic|mal\b|magoa|fer", r"consequência", r"[Aa]jud|[Aa]poio"),
    "nl": (r"strafbaar|misdrijf|misdaad", r"schad|pijn|kwaad", r"gevolg", r"[Hh]ulp|help|steun"),
    "pl": (r"przestępstw", r"krzywd|szkod|ran", r"konsekwencj|skutk", r"pom[oó]|wspar"),
    "tr": (r"suç", r"zarar", r"sonuç|sonuc", r"yardım|destek"),
    "ar": (r"جريمة|جرم", r"ضرر|تضر|يضر|تؤذي|يؤذي|أذى|إيذاء", r"عواقب", r"مساعد|دعم|يساعد"),
    "hi": (r"अपराध", r"नुक़?सान|चोट|हानि", r"नतीज|परिणाम", r"मदद|सहायता|सहारा"),
    "ja": (r"犯罪", r"傷|害|苦し", r"結果|影響|代償", r"助け|支援|相談|力に"),
}
#: One of these must be said to everybody who may be under 18.
_REASSURANCE: Final[Mapping[str, str]] = {
    "en": r"not your fault|nothing wrong|not mean that you did anything wrong|[Tt]hat is okay|not a bad person",
    "de": r"nicht deine Schuld|nichts falsch|keine Schuld|in Ordnung|okay|nichts Falsches|kein schlechter",
    "es": r"no es (tu )?culpa|culpa tuya|nada malo|está bien|mala persona|no tienes la culpa",
    "fr": r"pas (de )?ta faute|rien fait de mal|pas mal agi|normal|d’accord|c’est bien|mauvaise personne"
    r"|n’y es pour rien",
    "it": r"non è colpa tua|colpa tua|niente di male|nulla di male|va bene|cattiva persona|normale",
    "pt": r"não é culpa|culpa (é )?sua|nada de errado|tudo bem|má pessoa|não tem culpa",
    "nl": r"niet jouw schuld|jouw schuld|niets verkeerd|niks verkeerd|oké|slecht mens|is goed",
    "pl": r"nie (jest )?(to )?twoja wina|twoja wina|nic złego|w porządku|zł[ya] osob",
    "tr": r"senin suçun değil|suçun değil|yanlış bir şey yapmadın|sorun değil|kötü biri değil|yanlış",
    "ar": r"ذنبك|خطؤك|خطأك|لم تفعل|خاطئ|لا بأس|طبيعي|ليس عيب",
    "hi": r"ग़?लती नहीं|कुछ ग़?लत नहीं|ठीक है|दोष नहीं|बुरे इंसान नहीं|क़सूर नहीं|ग़?लत",
    "ja": r"あなたのせい|わるくない|悪くない|まちがったこと|間違ったこと|だいじょうぶ|大丈夫"
    r"|わるい人|悪い人|悪いこと|わるいこと",
}
_LEAST_CHOICES: Final = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. An ``error`` must not ship; a ``note`` is for the translator to look at."""

    level: Literal["error", "note"]
    lang: str
    place: str
    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.lang} {self.place}: {self.rule}: {self.detail}"


def lint_catalogue(catalogue: Catalogue) -> tuple[Problem, ...]:
    """Everything that can be found in one language, errors first.

    Notices that an unfinished language borrows from English are left out: they are looked at there.
    """
    found = [*_every_text(catalogue), *_entries(catalogue), *_reading_ease(catalogue), *_structure(catalogue)]
    return tuple(sorted(found, key=lambda problem: problem.level != "error"))


def banned(text: str, bands: Iterable[AgeBand], lang: str = "en") -> tuple[str, ...]:
    """Every rule that ``text`` breaks for a reader of any of ``bands``."""
    readers = set(bands)
    if lang != "en":
        # What is written in Latin letters in any language, and the language's own.
        rules: tuple[str, ...] = (r"\bporn", r"\bcsam\b", r"lolita", r"https?:|www\.", *_BANNED.get(lang, ()))
    else:
        rules = FOR_NOBODY + AMERICAN
        rules += FOR_NO_CHILD if readers & PROTECTED else ()
        rules += FOR_NOBODY_UNDER_13 if readers & CHILDREN else ()
        rules += FOR_NOBODY_UNDER_10 if AgeBand.UNDER_10 in readers else ()
    if not _any_of(rules).search(text):
        return ()
    return tuple(rule for rule in rules if re.search(rule, text, re.IGNORECASE))


@cache
def _any_of(rules: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{rule})" for rule in rules), re.IGNORECASE)


def grade(text: str) -> float:
    """Flesch-Kincaid grade of English text (Kincaid and others 1975), with a rough count of syllables."""
    found = sentences(text)
    words = [word for sentence in found for word in sentence]
    return 0.39 * len(words) / len(found) + 11.8 * sum(map(_syllables, words)) / len(words) - 15.59


def sentences(text: str) -> list[list[str]]:
    """The words of each sentence of a text in Latin letters."""
    parts = re.split(r"[.!?:;]+(?:\s|$)", text)
    return [words for part in parts if (words := re.findall(r"[A-Za-z0-9’'-]+", part))]


def _syllables(word: str) -> int:
    word = word.lower()
    count = len(re.findall(r"[aeiouy]+", word))
    if count > 1 and word.endswith("e") and not word.endswith("le"):
        count -= 1
    if count > 1 and word.endswith("ed") and word[-3] not in "td":
        count -= 1
    return max(count, 1)


def _every_text(catalogue: Catalogue) -> Iterator[Problem]:
    lang = catalogue.lang
    bands_of = _bands_by_place(catalogue)
    for place, text in texts_of(catalogue.texts):
        readers = next((bands for prefix, bands in bands_of if place.startswith(prefix)), frozenset(AgeBand))
        free_of_readers = place.startswith(("labels.", "why.", "appeal.", "help.", "removal"))
        for rule in banned(text, {AgeBand.ADULT} if free_of_readers else readers, lang):
            # A code made from a file has to be called what the services call it.
            yield Problem("error", lang, place, "banned word", rule)
        numbers = set(re.findall(r"\d+", text)) - {"18"}
        if numbers and not place.startswith("removal.code"):
            yield Problem("error", lang, place, "number", ", ".join(sorted(numbers)))
        if place.startswith("labels.") and _words(text, lang) > MAX_LABEL_WORDS * _room(lang):
            yield Problem("error", lang, place, "length", f"more than {MAX_LABEL_WORDS} words on a button")
        if text != text.strip() or "  " in text:
            yield Problem("error", lang, place, "space", "a space at an end, or two together")


def _bands_by_place(catalogue: Catalogue) -> list[tuple[str, frozenset[AgeBand]]]:
    structure = catalogue.structure
    found = [(f"notices.{entry.id}.", frozenset(entry.bands)) for entry in structure.notices]
    found += [(f"dialogues.{dialogue.id}.", frozenset(dialogue.bands)) for dialogue in structure.dialogues]
    found += [(f"education.{pack.id}.", frozenset(pack.bands)) for pack in structure.education]
    found += [(f"redress.{redress.id}", frozenset(redress.bands)) for redress in structure.redress]
    # The longest first: one id may begin like another.
    return sorted(found, key=lambda pair: -len(pair[0]))


def _entries(catalogue: Catalogue) -> Iterator[Problem]:
    lang = catalogue.lang
    level: Literal["error", "note"] = "error" if lang == "en" else "note"
    for entry in catalogue.notices:
        if entry.lang != lang:
            continue
        titles: dict[str, str] = {}
        bodies: dict[str, str] = {}
        for variant in (*entry.variants, Variant(SHORT, "written", "", entry.short)):
            place = f"notices.{entry.id}.{variant.id}"
            for kind, text, seen in (("title", variant.title, titles), ("body", variant.body, bodies)):
                if text and text in seen:
                    yield Problem("error", lang, place, "same again", f"{kind} of {seen[text]}")
                seen[text] = variant.id
            yield from _lengths(place, lang, variant)
            yield from _required(place, lang, level, entry, variant)


def _lengths(place: str, lang: str, variant: Variant) -> Iterator[Problem]:
    if _words(variant.body, lang) > MAX_BODY_WORDS * _room(lang):
        yield Problem("error", lang, place, "length", f"{_words(variant.body, lang):.0f} words in the body")
    if _words(variant.title, lang) > MAX_TITLE_WORDS * _room(lang):
        yield Problem("error", lang, place, "length", f"{_words(variant.title, lang):.0f} words in the title")
    if lang == "en" and max(map(len, sentences(variant.body))) > MAX_SENTENCE_WORDS:
        yield Problem("error", lang, place, "length", f"a sentence of more than {MAX_SENTENCE_WORDS} words")


def _required(
    place: str, lang: str, level: Literal["error", "note"], entry: Entry, variant: Variant
) -> Iterator[Problem]:
    readers = set(entry.bands)
    body = variant.body
    if readers & PROTECTED and lang in _REASSURANCE and not re.search(_REASSURANCE[lang], body):
        yield Problem(level, lang, place, "reassurance", "none of the ways to say that it is not their fault")
    if entry.cell in DETERRENCE and lang in _ELEMENTS:
        found = [re.search(stem, body) for stem in _ELEMENTS[lang]]
        places = [match.start() if match is not None else -1 for match in found]
        if -1 in places or (lang == "en" and places != sorted(places)):
            yield Problem(
                level, lang, place, "elements", "law, harm, consequences, help: one is missing or out of order"
            )
    if lang != "en":
        return
    if readers & CHILDREN and not re.search(r"grown-up|adult", body):
        yield Problem(level, lang, place, "adult", "no way to an adult")
    if readers == {AgeBand.FROM_10_TO_12} and "feel" not in body:
        yield Problem(level, lang, place, "feeling", "no feeling is named")
    held = r"not been deleted|not deleted|stays closed|kept back"
    if entry.shape.actions == ("HOLD",) and not re.search(held, body):
        yield Problem(level, lang, place, "held", "does not say that it still exists or stays closed")
    if entry.cell in DETERRENCE and "crisis" not in body:
        yield Problem(level, lang, place, "crisis", "no way out of a crisis")
    limit = min(MAX_GRADE[band] for band in readers) + (SHORT_SLACK if variant.id == SHORT else 0.0)
    if grade(body) > limit:
        yield Problem(level, lang, place, "reading level", f"grade {grade(body):.1f}, at most {limit:.1f}")


def _structure(catalogue: Catalogue) -> Iterator[Problem]:
    """What belongs to no language, reported with English."""
    if catalogue.lang != "en":
        return
    for shape in catalogue.structure.notices:
        place = f"structure.{shape.id}"
        readers = set(shape.bands)
        if AgeBand.ADULT in readers and len(readers) > 1:
            yield Problem("error", "en", place, "readers", "adult words are not for a possible child")
        if shape.cell.startswith("adult_") and readers != {AgeBand.ADULT}:
            yield Problem("error", "en", place, "readers", "a consequence text is for established adults only")
        for name, choices in shape.choices.items():
            ids = [choice.id for choice in choices]
            if "help" not in ids or ids[-1] != "appeal" or not _LEAST_CHOICES <= len(ids) <= 5:
                yield Problem(
                    "error", "en", f"{place}.{name}", "choices", "three to five, help, and the appeal at the end"
                )


def _reading_ease(catalogue: Catalogue) -> Iterator[Problem]:
    lang = catalogue.lang
    if lang not in TEXTSTAT_LANGUAGES or importlib.util.find_spec("textstat") is None:
        return
    import textstat

    textstat.set_lang(lang)
    for band, least in MIN_EASE.items():
        bodies = [
            variant.body
            for entry in catalogue.notices
            if entry.lang == lang and band in entry.bands
            for variant in entry.variants
        ]
        if bodies:
            ease = sum(textstat.flesch_reading_ease(body) for body in bodies) / len(bodies)
            if ease < least:
                yield Problem(
                    "note", lang, f"band {band}", "reading level", f"mean ease {ease:.0f}, at least {least:.0f}"
                )


def _words(text: str, lang: str) -> float:
    return len(text) / _LETTERS_PER_WORD if lang in _UNSPACED else float(len(text.split()))


def _room(lang: str) -> float:
    return 1.0 if lang == "en" else TRANSLATION_ROOM
