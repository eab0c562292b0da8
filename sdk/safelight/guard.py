"""The front door: wires media → evidence → decision → notice, one way.

    camera · upload · received · saved picture
              │
           media/      bytes, arrays, files → Image            (bounded decoding)
              ▼
           detect/     Image → Finding                         (score and state)
              ▼
           policy/     Finding × band × event × rules → Verdict (pure)
              ▼
           notices/    Verdict × country × language → Notice
              ▼
           Decision    what the host acts on; nothing is sent, and nothing stored but a record of a list
                       match where reporting is on (off by default; safelight.reporting)

A gate or an app knows only this module.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from safelight.decision import Action, Decision, Event, Finding, FindingKind, HelpService, Notice, State
from safelight.detect import TIERS, PictureDetector, VisionDetector, worst_findings
from safelight.detect.tiers import Tier
from safelight.errors import ClosedError, UnsupportedInputError, UsageError
from safelight.measure import load_plan
from safelight.media import Limits, NotJudged, load_image, read_content
from safelight.notices import BuiltinNotices, History, find_help, load_builtin, select_asked, select_notice, trigger_for
from safelight.notices.effects import Effects
from safelight.notices.select import CONTEXTS, Context
from safelight.policy import Profile, Rules, Verdict, decide

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from types import TracebackType

    from safelight.chat import Conversation
    from safelight.decision import Redress
    from safelight.detect.conversation import StageScorer
    from safelight.detect.grooming import GroomingDetector
    from safelight.detect.known import KnownDetector, KnownLook, ListStatus
    from safelight.keys import KeyProvider
    from safelight.lists import HashAppeal, ListStore
    from safelight.lookup import LookupList, QueryChecker, SiteChecker
    from safelight.media import Image, ImageSource
    from safelight.media.clip import ClipSource
    from safelight.media.content import ContentKind
    from safelight.reporting import HashRecord, Outbox
    from safelight.reporting.reporter import Reporter
    from safelight.signing import OperatorKey
    from safelight.store import Appeal, Hold, Holds, PendingChange, Store
    from safelight.testing import TestMode
    from safelight.uploads import UploadRules

_log = logging.getLogger("safelight")

_ISOLATION = ("none", "process")
_TEXT_KINDS = frozenset(
    {FindingKind.GROOMING, FindingKind.CONVERSATION, FindingKind.QUERY, FindingKind.SITE, FindingKind.SETTINGS}
)
_CONTACTS = {"unknown": "unknown", "known": "child"}  # who knows the contact, when nothing more is said

_SHORT_SIDE_PX = 256  # no built-in model reads a larger picture, so a large JPEG is decoded at reduced scale


class Guard:
    """Looks at what is about to happen and decides.

    May be used from several threads; at most :attr:`concurrency` checks run at once, the rest wait.
    Closing is final. Without arguments it is as strict as the rules get for a teenager of unknown age.

    Args:
        profile: who is protected.
        rules: what the evidence means; the built-in rules when left out.
        limits: bounds for decoding.
        tier: of the built-in detector: ``full``, ``live``, or ``auto``: what self-measurement chose for this
            device (``safelight doctor --measure``), else ``full``.
        runtime: of the built-in detector: ``auto``, ``ai-edge-litert`` or ``tflite-runtime``.
        plugins: names of installed third-party detectors that look as well.
        allow_network: accept plug-ins that send something off the device.
        isolation: ``process`` runs the detectors in child processes, one for each check that may run at once: a
            crash, a hang or a full memory there is a state and a restart. ``none`` is faster and shares their fate.
        detectors: what looks at pictures, instead of the built-in detector and plug-ins. An empty sequence
            means nothing can be judged, and every picture is held.
        lists: folders in which signed hash lists were installed (``safelight lists update``), or stores of them.
            Without any, nothing looks for known material. A picture on a list is held; a list that is missing or
            damaged is a state, and every picture is held. Needs the extra ``[lists]``.
        trust: public keys of the operators whose lists count, as ``safelight keys new`` wrote them.
        key_provider: gives the device's key to the lists; files beside them (obfuscation) when left out.
        concurrency: how many checks run at once; the number of processors when left out.
        query_lists: lists of words for :meth:`check_query`; the one that ships when left out.
        site_lists: lists of hosts for :meth:`check_url`; none ships.
        test_mode: a trigger kit, see :mod:`safelight.testing`.
        today: gives the date by which the age of a help line's reading is judged.
        store: a family's settings (:mod:`safelight.store`), instead of ``profile`` and ``rules``: what is in force
            is asked for at every check. A store that cannot be believed means the strictest settings, and a finding
            of kind ``settings`` says why.
        notice_pack: content of an operator's signed file of words and services
            (:func:`safelight.notices.pack.make_pack`). Refused, with the reason ``PACK_REFUSED``, unless a key in
            ``trust`` signed it; then the built-in words answer. Needs the extra ``[lists]``.
        unreviewed_languages: tags whose full texts may be shown although no native speaker has judged them; others
            show their short form with the local help line. English is the language the texts were written in.
        history: what this reader was shown before; see :meth:`shown`.
        reporting: where records of list matches wait for a collector (:mod:`safelight.reporting`); none are made when
            left out, when the outbox has no collector, when a ``store`` does not say ``reporting``, or in test mode.

    Raises:
        UsageError: an argument is out of its range.

    Example:
        >>> from safelight import Event, Guard, Profile
        >>> with Guard(Profile(age_band="10_12", country="GB")) as guard:
        ...     decision = guard.check_image(b"not a picture", event=Event.UPLOAD)
        >>> decision.action.name, decision.reasons
        ('HOLD', ('NOT_MEDIA',))
    """

    def __init__(
        self,
        profile: Profile | None = None,
        *,
        rules: Rules | None = None,
        limits: Limits | None = None,
        tier: str = "auto",
        runtime: str = "auto",
        plugins: Sequence[str] = (),
        allow_network: bool = False,
        isolation: str = "none",
        detectors: Sequence[PictureDetector] | None = None,
        lists: Sequence[str | os.PathLike[str] | ListStore] = (),
        trust: Iterable[OperatorKey | str] = (),
        key_provider: KeyProvider | None = None,
        concurrency: int | None = None,
        query_lists: Sequence[LookupList] | None = None,
        site_lists: Sequence[LookupList] = (),
        test_mode: TestMode | None = None,
        today: Callable[[], date] | None = None,
        store: Store | None = None,
        notice_pack: bytes | None = None,
        unreviewed_languages: Iterable[str] = (),
        history: History | None = None,
        reporting: Outbox | None = None,
    ) -> None:
        if store is not None and (profile is not None or rules is not None):
            raise UsageError("store: got a profile or rules as well; expected one of the two: the store holds both.")
        if concurrency is not None and concurrency < 1:
            raise UsageError(f"concurrency: got {concurrency}, expected 1 or more, or None for one per processor.")
        self._profile = profile if profile is not None else Profile()
        self._rules = rules if rules is not None else Rules.default()
        self._store = store
        self._owns_store = False
        self._reporter: Reporter | None = None
        if reporting is not None and test_mode is None:
            from safelight.reporting.reporter import Reporter

            self._reporter = Reporter(reporting, store)
        self.limits = limits if limits is not None else Limits()
        self.concurrency = concurrency or os.cpu_count() or 1
        if isolation not in _ISOLATION:
            raise UsageError(f"isolation: got {isolation!r}, expected {' or '.join(_ISOLATION)}.")
        if detectors is not None:
            if isolation != "none":
                raise UsageError(
                    "isolation: got detectors that already exist, which cannot move to another process; wrap them in "
                    "safelight.detect.isolated.IsolatedDetector, or leave detectors out."
                )
            self._detectors: tuple[PictureDetector, ...] = tuple(detectors)
        elif isolation == "process":
            # Imported where they are needed: most guards use neither, and the first decision is waited for.
            from safelight.detect.isolated import IsolatedDetector, vision_spec

            specs = [vision_spec(_tier(tier), runtime=runtime)]
            if plugins:
                from safelight.detect.plugins import plugin_spec

                specs += [plugin_spec(name, allow_network=allow_network) for name in plugins]
            self._detectors = (IsolatedDetector(*specs, processes=self.concurrency),)
        else:
            self._detectors = (VisionDetector(_tier(tier), runtime=runtime),)
            if plugins:
                from safelight.detect.plugins import create_plugin

                self._detectors += tuple(create_plugin(name, allow_network=allow_network) for name in plugins)
        self._trust = tuple(trust)
        self._known = _known(lists, self._trust, key_provider, test_mode=test_mode is not None)
        # Another look is taken with the closest tier, whatever the first one was; made when it is first asked for.
        self._second_look: Callable[[], tuple[PictureDetector, ...]] | None = None
        if detectors is None and _tier(tier) != "full":
            if isolation == "process":
                self._second_look = lambda: (
                    IsolatedDetector(vision_spec("full", runtime=runtime), *specs[1:], processes=1),
                )
            else:
                self._second_look = lambda: (VisionDetector("full", runtime=runtime), *self._detectors[1:])
        self._grooming: GroomingDetector | None = None
        self._runtime = runtime
        self._test_mode = test_mode
        self._today = today or _utc_today
        self._notice_pack = notice_pack
        if isinstance(unreviewed_languages, str):
            raise UsageError("unreviewed_languages: got a single tag, expected several in a tuple; write ('de',).")
        self._unreviewed_languages = frozenset(unreviewed_languages)
        self._history = history if history is not None else History()
        self._history_lock = threading.Lock()
        self._pack_words: dict[tuple[str, ...], BuiltinNotices] = {}
        self._query_lists = query_lists
        self._site_lists = tuple(site_lists)
        self._query_checker: QueryChecker | None = None
        self._site_checker: SiteChecker | None = None
        self._slots = threading.BoundedSemaphore(self.concurrency)
        self._executor: ThreadPoolExecutor | None = None
        self._executor_lock = threading.Lock()
        self._closed = False

    @classmethod
    def from_store(cls, store: Store | None = None, **options: Any) -> Guard:
        """A guard for this device's settings.

        Args:
            store: which; the one in the user's state folder when left out, closed with the guard.
            options: as for :class:`Guard`.
        """
        if store is not None:
            return cls(store=store, **options)
        from safelight.store import Store as OpenedStore

        guard = cls(store=OpenedStore(), **options)
        guard._owns_store = True
        return guard

    @property
    def profile(self) -> Profile:
        """Who is protected, as of now."""
        return self._profile if self._store is None else self._store.settings.profile

    @property
    def rules(self) -> Rules:
        """What the evidence means, as of now."""
        return self._rules if self._store is None else self._store.rules_in_force()

    @property
    def store(self) -> Store:
        """The family's settings.

        Raises:
            UsageError: this guard was made without.
        """
        if self._store is None:
            raise UsageError("store: got a guard without one; make it with Guard(store=…) or Guard.from_store().")
        return self._store

    @property
    def pending(self) -> tuple[PendingChange, ...]:
        """Loosenings that wait: for the child's screen. Anybody may cancel one (``store.cancel``)."""
        return () if self._store is None else self._store.pending()

    @property
    def holds(self) -> Holds:
        """What is kept back. Raises :class:`UsageError` for a guard without a store."""
        return self.store.holds

    def check_consent(self, purpose: str) -> Decision:
        """Decide whether a purpose has been agreed to: ``camera``, ``registration``, ``purchase``, ``scan`` or
        ``age_check``. Without a store nothing has.

        Raises:
            UsageError: an unknown purpose.
            ClosedError: after :meth:`close`.
        """
        from safelight.store.findings import consent_finding

        started = time.perf_counter()
        self._require_open()
        return self._decide((consent_finding(self._store, purpose),), Event.USE, started)

    def check_time(self, purpose: str) -> Decision:
        """Decide whether there is time for a purpose or app. Looks only: time is taken with ``store.allowance.take``.

        ``help``, ``health`` and ``emergency`` are always allowed.

        Raises:
            UsageError: a purpose of another form.
            ClosedError: after :meth:`close`.
        """
        from safelight.store.findings import time_finding

        started = time.perf_counter()
        self._require_open()
        return self._decide((time_finding(self._store, purpose),), Event.USE, started)

    def appeal(self, what: Decision | Hold | str, source: ImageSource | None = None) -> Appeal:
        """Somebody says "this is wrong": take another look with the closest tier, and restore or keep.

        A match with a known list is not released here: its appeal goes by hash. When the answer is no, ``redress`` says
        who to turn to; show it.

        Args:
            what: a hold, its id, or a decision that was not kept back by a hold.
            source: the picture, unless the hold keeps its bytes.

        Raises:
            UsageError: there is no such hold, or no picture to look at.
            StoreError: the store cannot be read or written to; the hold stays.
        """
        from safelight.store.holds import KNOWN_MATCH, Appeal, HoldState

        self._require_open()
        if isinstance(what, Decision):
            hold, known, event = None, KNOWN_MATCH in what.reasons, what.event
        else:
            hold = self.holds.get(what if isinstance(what, str) else what.id)
            known, event = hold.known, hold.event
            if hold.state is HoldState.RELEASED:
                return Appeal(hold, None, True)
            if hold.size_bytes and source is None:
                source = self.holds._bytes(hold.id)
        self._count("appeal.asked")
        if known:
            if hold is not None:
                hold = self.holds._set_state(hold.id, HoldState.APPEALED)
            return Appeal(hold, None, False, self._redress())
        if source is None:
            raise UsageError("source: got none, expected the picture that the decision was about; give source=.")
        decision = self._look_again(source, event)
        released = decision.action < Action.HOLD
        if hold is not None:
            hold = self.holds._set_state(hold.id, HoldState.RELEASED if released else HoldState.KEPT)
        if released:
            self._count("appeal.restored")
        return Appeal(hold, decision, released, None if released else self._redress())

    def check_image(
        self,
        source: ImageSource,
        *,
        event: Event | str = Event.UPLOAD,
        color: str = "RGB",
        context: Context | str | None = None,
    ) -> Decision:
        """Decide about one picture. Every frame of an animated picture is looked at.

        Args:
            source: a path, ``bytes``, a binary file object, a ``PIL.Image.Image``, ``uint8[H,W,3]`` or a ``Frame``.
            event: what is about to happen.
            color: channel order of an array: ``RGB`` or ``BGR``.
            context: what only the host knows, for the words and never for the action: ``forwarding`` (it was received
                and is passed on), ``outrage`` (passed on in outrage) or ``chat_with_child`` (the other one is known to
                be a child).

        Returns:
            A decision. What cannot be decoded or judged is a decision too (``HOLD`` with a reason).

        Raises:
            MediaNotFoundError: the file is not there or cannot be opened.
            UnsupportedInputError: the source is of a type, shape or dtype that is not taken.
            UsageError: an unknown event, color or context.
            ClosedError: after :meth:`close`.
        """
        started = time.perf_counter()
        word, known_context = _event(event), _context(context)
        self._require_open()
        extra: list[str] = []
        with self._slots:
            self._require_open()
            findings = worst_findings(self._look_at(source, color, extra))
        return self._decide(findings, word, started, tuple(extra), context=known_context)

    def check_images(
        self,
        sources: Iterable[ImageSource],
        *,
        event: Event | str = Event.UPLOAD,
        color: str = "RGB",
        context: Context | str | None = None,
    ) -> Iterator[Decision]:
        """Decide about many pictures, one decision each, in order, as they are taken from the iterator.

        Raises as :meth:`check_image`, at the picture concerned.
        """
        for source in sources:
            yield self.check_image(source, event=event, color=color, context=context)

    async def acheck_image(
        self,
        source: ImageSource,
        *,
        event: Event | str = Event.UPLOAD,
        color: str = "RGB",
        context: Context | str | None = None,
    ) -> Decision:
        """:meth:`check_image` for asyncio: runs in one of the guard's own threads."""
        return await self._in_thread(lambda: self.check_image(source, event=event, color=color, context=context))

    async def _in_thread(self, work: Callable[[], Decision]) -> Decision:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        self._require_open()
        with self._executor_lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.concurrency, thread_name_prefix="safelight")
            executor = self._executor
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    def check_clip(
        self, source: ClipSource, *, event: Event | str = Event.UPLOAD, context: Context | str | None = None
    ) -> Decision:
        """Decide about a clip, or an animated picture. Every frame that it may show is looked at, or is so near to one
        that was that it may stand for it. Needs the extra ``[video]``, without which clips are held.

        :class:`safelight.gates.ClipGate` also says when what is shown, reports progress, and goes on after a pause.

        Args:
            source: a path, ``bytes``, or a binary file object; one that cannot seek is read once, as it comes.
            event: what is about to happen.
            context: as for :meth:`check_image`.

        Raises:
            MediaNotFoundError, UnsupportedInputError, UsageError, ClosedError: as :meth:`check_image`.
        """
        from safelight.gates.clip import ClipGate

        return ClipGate(self, event=event).check(source, context=context).decision

    async def acheck_clip(
        self, source: ClipSource, *, event: Event | str = Event.UPLOAD, context: Context | str | None = None
    ) -> Decision:
        """:meth:`check_clip` for asyncio: runs in one of the guard's own threads."""
        return await self._in_thread(lambda: self.check_clip(source, event=event, context=context))

    def before_upload(
        self, file: ImageSource, *, event: Event | str = Event.UPLOAD, rules: UploadRules | None = None
    ) -> Decision:
        """Decide about a file that is about to be uploaded, whatever it calls itself: its content says what it is.

        Pictures and clips are looked at; text passes, after the pictures written out in it (base64, ``data:``) were
        looked at; what nobody can look into is held, unless ``rules`` list it. The file itself is not kept: who
        uploads it must send what was looked at, as :class:`safelight.gates.UploadGate` does.

        Args:
            file: a path, bytes, a seekable binary file object (its position is put back), or a picture in memory as
                for :meth:`check_image`.
            event: what is about to happen.
            rules: what becomes of documents; see :class:`safelight.uploads.UploadRules`.

        Raises:
            MediaNotFoundError: the file is not there or cannot be read.
            UnsupportedInputError: the source is of another type, or cannot be read twice.
            UsageError: an unknown event.
            ClosedError: after :meth:`close`.

        Example:
            >>> from safelight import Guard, Profile
            >>> with Guard(Profile("10_12"), detectors=()) as guard:
            ...     guard.before_upload(b"my essay about frogs").reasons
            ('NOT_A_PICTURE',)
        """
        return self.look_at_upload(file, event=event, rules=rules)[1]

    def look_at_upload(
        self, file: ImageSource, *, event: Event | str = Event.UPLOAD, rules: UploadRules | None = None
    ) -> tuple[ContentKind, Decision]:
        """:meth:`before_upload`, with what the content turned out to be."""
        from safelight.media.content import ContentKind
        from safelight.uploads import GuardLooks, UploadRules, decide_document, open_document

        word = _event(event)
        self._require_open()
        if not isinstance(file, (str, os.PathLike, bytes, bytearray, memoryview)) and not hasattr(file, "read"):
            return ContentKind.PICTURE, self.check_image(file, event=word)
        looks = GuardLooks(
            check_image=self.check_image,
            check_clip=self.check_clip,
            cannot_tell=lambda state, event: self._decide((Finding(FindingKind.MEDIA, state),), event, started),
            passes=lambda reason, event: self._pass(event, started, reason),
            limits=self.limits,
            event=word,
        )
        started = time.perf_counter()
        stream, close = open_document(file)
        try:
            return decide_document(stream, looks, rules if rules is not None else UploadRules())
        finally:
            close()

    def redress(self) -> Redress:
        """Who to turn to when "this is wrong" gets no for an answer; shown beside every refusal.

        Works after :meth:`close` too: help is never blocked.
        """
        return self._redress()

    def check_query(self, text: str) -> Decision:
        """Decide about what somebody is about to search for.

        Names of services that help and words of health education are always allowed.

        Args:
            text: as typed. It is looked up on this device and not kept.

        Raises:
            UnsupportedInputError: not a ``str``.
            ClosedError: after :meth:`close`.

        Example:
            >>> from safelight import Guard, Profile
            >>> with Guard(Profile("10_12"), detectors=()) as guard:
            ...     guard.check_query("child helpline").reasons
            ('HELP',)
        """
        started = time.perf_counter()
        self._require_open()
        checker = self._query_checker
        if checker is None:
            from safelight.lookup.ready import query_checker

            checker = self._query_checker = query_checker(self._query_lists, load_builtin().directory)
        return self._decide(self._with_trigger(checker.check(_text(text))), Event.SEARCH, started)

    def check_url(self, url: str) -> Decision:
        """Decide about where somebody is about to go. Sites of services that help are always allowed.

        Args:
            url: an address, with or without ``https://``. Only its host is looked up, on this device.

        Raises:
            UnsupportedInputError: not a ``str``.
            ClosedError: after :meth:`close`.

        Example:
            >>> from safelight import Guard, Profile
            >>> with Guard(Profile("10_12"), detectors=()) as guard:
            ...     guard.check_url("https://www.childline.org.uk/").reasons
            ('HELP',)
        """
        started = time.perf_counter()
        self._require_open()
        checker = self._site_checker
        if checker is None:
            from safelight.lookup.ready import site_checker

            checker = self._site_checker = site_checker(self._site_lists, load_builtin().directory)
        return self._decide(self._with_trigger(checker.check(_text(url))), Event.SEARCH, started)

    async def acheck_query(self, text: str) -> Decision:
        """:meth:`check_query` for asyncio. It takes microseconds, and runs where it is called."""
        return self.check_query(text)

    async def acheck_url(self, url: str) -> Decision:
        """:meth:`check_url` for asyncio. It takes microseconds, and runs where it is called."""
        return self.check_url(url)

    def conversation(
        self,
        contact: str = "unknown",
        *,
        contact_id: str | None = None,
        trust: str | None = None,
        context: Context | str | None = None,
        scorer: StageScorer | None = None,
    ) -> Conversation:
        """Start judging the messages of one contact.

        Args:
            contact: ``unknown``, or ``known`` to the protected person.
            contact_id: the contact's opaque id (:func:`safelight.policy.profile_document.contact_id`). Whoever is among
                the ``known_contacts`` of the store is known, as long as they are; asked for at every message.
            trust: who knows the contact, when more is known than that: ``unknown``, ``child`` or ``guardian``. It is
                context, never absolution: a threat or several serious stages count whoever they come from.
            context: as for :meth:`check_image`: it chooses words and no action.
            scorer: what scores messages, instead of the built-in model.

        Returns:
            A conversation: ``add`` messages as they come, ``close`` it to forget them.

        Raises:
            UsageError: an unknown word.
            ClosedError: after :meth:`close`.
        """
        from safelight.chat import Conversation
        from safelight.detect.conversation import ConversationRules, ConversationTracker
        from safelight.detect.grooming import GroomingDetector

        self._require_open()
        if contact not in _CONTACTS:
            raise UsageError(f"contact: got {contact!r}, expected {' or '.join(_CONTACTS)}.")
        known_context = _context(context)
        rules = ConversationRules()
        if scorer is None:
            with self._executor_lock:
                if self._grooming is None:
                    self._grooming = GroomingDetector(runtime=self._runtime)
            scorer, rules = self._grooming, self._grooming.rules
        said = trust if trust is not None else _CONTACTS[contact]
        if self._test_mode is not None and self._test_mode.marked:
            from safelight.testing.messages import MarkedTracker

            tracker: ConversationTracker = MarkedTracker(scorer, trust=said, rules=rules, key=self._test_mode.key)
        else:
            tracker = ConversationTracker(scorer, trust=said, rules=rules)

        def trusted() -> str:
            return _CONTACTS["known"] if said == "unknown" and self._is_known_contact(contact_id) else said

        def decided(findings: tuple[Finding, ...], started: float) -> Decision:
            self._require_open()
            kinds = (FindingKind.GROOMING, FindingKind.CONVERSATION)
            extra = self._test_mode.findings if self._test_mode is not None else ()
            found = (*findings, *(f for f in extra if f.kind in kinds))
            return self._decide(found, Event.MESSAGE, started, context=known_context)

        return Conversation(tracker, decided, trust=trusted if contact_id is not None else None)

    def _is_known_contact(self, contact_id: str | None) -> bool:
        # Settings that cannot be believed are the strictest ones, in which nobody is known.
        return contact_id is not None and self._store is not None and contact_id in self._store.settings.known_contacts

    def notice(self, situation: str) -> Notice:
        """What to show somebody who asks: a child who is pressed, a parent, a person who came across something.

        Works after :meth:`close` too: help is never blocked.

        Args:
            situation: ``pressured``, ``own_image_shared``, ``child_own_behaviour``, ``parent_asked``,
                ``accidental_finder`` or ``unknown_age``. One that does not fit the profile's age gives support.
        """
        words = self._words()
        return select_asked(
            catalogue=words.catalogue,
            directory=words.directory,
            trigger=situation,
            band=self.profile.band,
            country=self.profile.country,
            languages=self.profile.language_tags,
            today=self._today(),
            history=self._history,
            unreviewed_languages=self._unreviewed_languages,
        )

    @property
    def history(self) -> History:
        """What the reader was shown, as far as the host has said so; in memory only."""
        return self._history

    def shown(self, notice: Notice) -> None:
        """The host has put the notice on the screen: the next of its kind is another wording, later the short form.

        Counted, and repeats too, where a store has its counters on.
        """
        self._effect("shown", notice)

    def false_alarm(self, notice: Notice) -> None:
        """The reader says that the notice was wrong: a tip becomes short. The action stays as it is."""
        self._effect("false_alarm", notice)

    def chosen(self, notice: Notice, choice: str) -> None:
        """The reader pressed a button; counted where a store has its counters on.

        Raises:
            UsageError: the notice has no such choice.
        """
        Effects(self._store.counters if self._store is not None else None).chosen(notice, choice)

    def _effect(self, name: Literal["shown", "false_alarm"], notice: Notice) -> None:
        effects = Effects(self._store.counters if self._store is not None else None)
        with self._history_lock:
            self._history = getattr(effects, name)(notice, self._history)

    def help(self, *, audiences: Sequence[str] = ("child", "crisis")) -> tuple[HelpService, ...]:
        """Services for the profile's country and languages. Works after :meth:`close` too: help is never blocked."""
        return find_help(
            self._words().directory,
            country=self.profile.country,
            audiences=audiences,
            languages=self.profile.language_tags,
            today=self._today(),
        )

    def prepare(self) -> dict[str, State]:
        """Load and verify the models now instead of at the first check.

        Returns:
            Detector id to ``OK``, or to the state that every picture will get from it.
        """
        self._require_open()
        states = {detector.id: detector.prepare() for detector in self._detectors}
        return states | self._known.prepare() if self._known is not None else states

    def hash_appeal(self, source: ImageSource, *, color: str = "RGB") -> tuple[HashAppeal, ...]:
        """What somebody may choose to show when a list match is wrong: for each match, hash and entry.

        Looks at the source again; keeps and sends nothing. A hash is sensitive: see :class:`HashAppeal`.

        Returns:
            One for each match; empty when nothing matches or no list is configured.

        Raises:
            As :meth:`check_image`.
        """
        self._require_open()
        if self._known is None:
            return ()
        found: list[HashAppeal] = []
        with self._slots:
            for _ in self._look_at(source, color, [], appeals=found):
                pass
        return tuple(dict.fromkeys(found))

    @property
    def lists(self) -> tuple[ListStatus, ...]:
        """How every configured list is now, opened if need be; see ``stale`` and ``state``."""
        self._require_open()
        return self._known.status() if self._known is not None else ()

    @property
    def detectors(self) -> tuple[PictureDetector, ...]:
        """What looks at pictures."""
        return self._detectors

    @property
    def test_mode(self) -> bool:
        """Whether a trigger kit takes part."""
        return self._test_mode is not None

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Give memory back. Later checks raise :class:`ClosedError`. Safe to call twice."""
        self._closed = True
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        for detector in self._detectors:
            detector.close()
        if self._known is not None:
            self._known.close()
        if self._grooming is not None:
            self._grooming.close()
        if self._owns_store and self._store is not None:
            self._store.close()

    def __enter__(self) -> Guard:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Guard(age_band={self.profile.band.value!r}, rules={self.rules.id!r} v{self.rules.version}, "
            f"detectors={[d.id for d in self._detectors]}, test_mode={self.test_mode}, closed={self._closed})"
        )

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this guard was closed; make a new Guard to go on.")

    def _look_again(self, source: Any, event: Event) -> Decision:
        started = time.perf_counter()
        detectors = self._second_look() if self._second_look is not None else self._detectors
        reasons: list[str] = []
        try:
            with self._slots:
                findings = worst_findings(self._look_at(source, "RGB", reasons, detectors=detectors))
            return self._decide(findings, event, started, tuple(reasons))
        finally:
            for detector in detectors:
                if detector not in self._detectors:
                    detector.close()

    def _count(self, name: str) -> None:
        if self._store is not None:
            self._store.counters.add(name)

    def _look_at(
        self,
        source: Any,
        color: str,
        reasons: list[str],
        *,
        detectors: Sequence[PictureDetector] | None = None,
        appeals: list[HashAppeal] | None = None,
    ) -> Iterator[Finding]:
        documents = self.rules.document(self.profile.band)
        known: KnownLook | None = None
        if self._known is not None:
            content = read_content(source, limits=self.limits)
            if isinstance(content, bytes):
                source = content  # what is hashed is what is looked at, whatever becomes of the file meanwhile
            try:
                known = self._known.look(content if isinstance(content, bytes) else None)
            except ClosedError:
                raise
            except Exception:
                _log.warning("lists raised; they count as DETECTOR_FAILED")
                yield Finding(FindingKind.KNOWN, State.DETECTOR_FAILED, model=self._known.id)
            else:
                reasons += known.reasons
                yield from _asked(known.file)
        loaded = load_image(
            source,
            limits=self.limits,
            color=color,
            # A hash needs every pixel; no built-in model does.
            short_side_px=None if known is not None and known.needs_full_pictures else _SHORT_SIDE_PX,
            containers=documents.containers,
            motion_photo=documents.motion_photo,
        )
        if isinstance(loaded, NotJudged):
            yield Finding(FindingKind.MEDIA, loaded.state)
        else:
            with loaded as pictures:
                for picture in pictures:
                    if isinstance(picture, NotJudged):
                        yield Finding(FindingKind.MEDIA, picture.state)
                        continue
                    yield from self._look_at_picture(picture, known, () if appeals is not None else detectors)
        if known is not None:
            yield from _asked(known.finish)
            if appeals is not None:
                appeals += known.appeals
        if self._test_mode is not None:
            yield from self._test_mode.findings

    def _look_at_picture(
        self, picture: Image, known: KnownLook | None, detectors: Sequence[PictureDetector] | None = None
    ) -> Iterator[Finding]:
        if known is not None:
            yield from _asked(partial(known.picture, picture))
        for detector in self._detectors if detectors is None else detectors:
            yield from _safely(detector, picture)
        if self._test_mode is not None and detectors != ():
            yield from self._test_mode.picture_findings(picture.pixels)

    def _with_trigger(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        if self._test_mode is None:
            return findings
        return findings + tuple(f for f in self._test_mode.findings if f.kind in (FindingKind.QUERY, FindingKind.SITE))

    def _decide(
        self,
        findings: tuple[Finding, ...],
        event: Event,
        started: float,
        more_reasons: tuple[str, ...] = (),
        *,
        context: Context | None = None,
    ) -> Decision:
        if self._store is not None:
            from safelight.store.findings import settings_findings

            findings += settings_findings(self._store)
        verdict = decide(findings, band=self.profile.band, event=event, rules=self.rules)
        about_text = bool(findings) and all(finding.kind in _TEXT_KINDS for finding in findings)
        record: HashRecord | None = None
        if self._reporter is not None:
            record, record_reasons = self._reporter.record(
                findings,
                verdict.reasons,
                action=verdict.action,
                event=event,
                rules=self.rules,
                band=self.profile.band,
            )
            more_reasons += record_reasons
        notice, notice_reasons = self._notice(
            verdict, event, "text" if about_text else "picture", context, recorded=record is not None
        )
        self._count(f"action.{verdict.action.name.lower()}")
        elapsed_ms = (time.perf_counter() - started) * 1000
        reasons = verdict.reasons + notice_reasons + more_reasons
        _log.debug("%s %s %s", event.value, verdict.action.name, ",".join(reasons))
        return Decision(
            action=verdict.action,
            event=event,
            age_band=self.profile.band,
            findings=findings,
            reasons=reasons,
            notice=notice,
            record=record,
            test_mode=self.test_mode,
            elapsed_ms=elapsed_ms,
        )

    def _pass(self, event: Event, started: float, reason: str) -> Decision:
        """Allow what cannot be a picture: there is nothing that a detector could be asked."""
        self._count("action.allow")
        _log.debug("%s ALLOW %s", event.value, reason)
        elapsed_ms = (time.perf_counter() - started) * 1000
        return Decision(
            action=Action.ALLOW,
            event=event,
            age_band=self.profile.band,
            findings=(),
            reasons=(reason,),
            notice=None,
            test_mode=self.test_mode,
            elapsed_ms=elapsed_ms,
        )

    def _notice(
        self,
        verdict: Verdict,
        event: Event,
        about: Literal["picture", "text"] = "picture",
        context: Context | None = None,
        *,
        recorded: bool = False,
    ) -> tuple[Notice | None, tuple[str, ...]]:
        if verdict.action is Action.ALLOW:
            return None, ()
        words = self._words()
        band = self.profile.band
        notice = select_notice(
            catalogue=words.catalogue,
            directory=words.directory,
            trigger=trigger_for(verdict.reasons, event, band, context=context, about=about),
            action=verdict.action,
            band=band,
            event=event,
            country=self.profile.country,
            languages=self.profile.language_tags,
            today=self._today(),
            history=self._history,
            unreviewed_languages=self._unreviewed_languages,
            recorded=recorded,
        )
        return notice, words.reasons

    def _redress(self) -> Redress:
        from safelight.notices.education import select_redress

        words = self._words()
        return select_redress(
            catalogue=words.catalogue,
            band=self.profile.band,
            fallback=load_builtin().catalogue,
            directory=words.directory,
            country=self.profile.country,
            languages=self.profile.language_tags,
            today=self._today(),
        )

    def _words(self) -> BuiltinNotices:
        languages = self.profile.language_tags
        if self._notice_pack is None:
            return load_builtin(languages)
        with self._history_lock:
            if languages not in self._pack_words:
                from safelight.notices.pack import load_notices

                self._pack_words[languages] = load_notices(
                    self._notice_pack, trust=self._trust, languages=languages, test_mode=self.test_mode
                )
            return self._pack_words[languages]


def _safely(detector: PictureDetector, image: Any) -> Sequence[Finding]:
    try:
        findings = tuple(detector.detect(image))
        if findings and all(isinstance(finding, Finding) for finding in findings):
            return findings
        _log.warning("detector %s gave no findings; it counts as DETECTOR_FAILED", detector.id)
    except ClosedError:
        raise
    except Exception:
        # A detector that breaks its promise not to raise is still only a detector that could not tell.
        _log.warning("detector %s raised; it counts as DETECTOR_FAILED", detector.id)
    return [Finding(kind, State.DETECTOR_FAILED, model=detector.id) for kind in detector.kinds]


def _asked(ask: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """What the lists say; a failure on the way is a state, as with any detector."""
    try:
        return ask()
    except ClosedError:
        raise
    except Exception:
        _log.warning("lists raised; they count as DETECTOR_FAILED")
        return [Finding(FindingKind.KNOWN, State.DETECTOR_FAILED, model="lists")]


def _known(
    lists: Sequence[str | os.PathLike[str] | ListStore],
    trust: Iterable[OperatorKey | str],
    key_provider: KeyProvider | None,
    *,
    test_mode: bool,
) -> KnownDetector | None:
    if isinstance(lists, (str, os.PathLike)):
        raise UsageError("lists: got a single folder, expected several in a list; write [folder].")
    if not lists:
        return None
    from safelight.detect.known import KnownDetector
    from safelight.lists import ListStore

    keys = tuple(trust)
    stores = [
        one if isinstance(one, ListStore) else ListStore(one, trust=keys, keys=key_provider, test_mode=test_mode)
        for one in lists
    ]
    if not test_mode and any(store.test_mode for store in stores):
        raise UsageError("lists: got a store in test mode, expected one outside; give the guard a test_mode as well.")
    return KnownDetector(stores)


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise UnsupportedInputError(f"got {type(text).__name__}, expected str; decode it first.")
    return text


def _tier(tier: str) -> Tier:
    if tier == "auto":
        device_plan = load_plan()
        return device_plan.tier if device_plan is not None else "full"
    if tier not in TIERS:
        raise UsageError(f"tier: got {tier!r}, expected auto, {' or '.join(TIERS)}.")
    return tier


def _event(event: Event | str) -> Event:
    try:
        return Event(event)
    except ValueError:
        raise UsageError(f"event: got {str(event)!r}, expected one of {', '.join(e.value for e in Event)}.") from None


def _context(context: str | None) -> Context | None:
    if context is None:
        return None
    for word in CONTEXTS:
        if word == context:
            return word
    raise UsageError(f"context: got {str(context)!r}, expected one of {', '.join(CONTEXTS)}, or None.")


def _utc_today() -> date:
    return datetime.now(timezone.utc).date()
